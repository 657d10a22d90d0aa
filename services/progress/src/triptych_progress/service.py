"""The gRPC servicer of progress: only translation."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from triptych.v1 import progress_pb2, progress_pb2_grpc
from triptych_common.errors import AwayError, MissingError
from triptych_progress.aggregator import Aggregator
from triptych_progress.messages import session_to_wire

_Context = grpc.aio.ServicerContext[Any, Any]


class ProgressService(progress_pb2_grpc.ProgressServicer):
    """Answers from the aggregator's memory."""

    def __init__(self, aggregator: Aggregator, *, stopping: asyncio.Event) -> None:
        self._aggregator = aggregator
        self._stopping = stopping

    async def GetSessionProgress(  # noqa: N802
        self, request: progress_pb2.GetSessionProgressRequest, _: _Context
    ) -> progress_pb2.GetSessionProgressResponse:
        """One session, or NOT_FOUND."""
        session = self._aggregator.sessions.get(request.session_id)
        if session is None:
            raise MissingError(f"No progress of session {request.session_id} is known.", reason="UNKNOWN_SESSION")
        return progress_pb2.GetSessionProgressResponse(progress=session_to_wire(request.session_id, session))

    async def ListSessionProgress(  # noqa: N802
        self, request: progress_pb2.ListSessionProgressRequest, _: _Context
    ) -> progress_pb2.ListSessionProgressResponse:
        """Several sessions, by id; unknown ones are left out."""
        sessions = self._aggregator.sessions
        wanted = sorted(set(request.session_ids) & sessions.keys()) if request.session_ids else sorted(sessions)
        return progress_pb2.ListSessionProgressResponse(
            progress=[session_to_wire(session_id, sessions[session_id]) for session_id in wanted]
        )

    async def WatchSessionProgress(  # noqa: N802
        self, request: progress_pb2.WatchSessionProgressRequest, _: _Context
    ) -> AsyncIterator[progress_pb2.WatchSessionProgressResponse]:
        """The whole state of each watched session, then its changes; ends with UNAVAILABLE when the service stops."""
        stopping = asyncio.create_task(self._stopping.wait())
        changes = self._aggregator.watch(request.session_ids)
        try:
            while True:
                change = asyncio.ensure_future(anext(changes))
                await asyncio.wait([change, stopping], return_when=asyncio.FIRST_COMPLETED)
                if not change.done():
                    change.cancel()
                    raise AwayError("This replica is stopping; watch another.", reason="STOPPING")
                session_id = change.result()
                progress = session_to_wire(session_id, self._aggregator.sessions[session_id])
                yield progress_pb2.WatchSessionProgressResponse(progress=progress)
        finally:
            stopping.cancel()
