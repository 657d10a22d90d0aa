"""The gRPC servicer of progress: only translation."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from triptych.v1 import progress_pb2, progress_pb2_grpc
from triptych_common.errors import AwayError, MissingError
from triptych_progress.aggregator import Aggregator
from triptych_progress.messages import session_to_wire

_Context = grpc.aio.ServicerContext[Any, Any]


class ProgressService(progress_pb2_grpc.ProgressServicer):
    """Answers from the aggregator's memory; UNAVAILABLE until there is one that has caught up with the stream."""

    def __init__(self, *, stopping: asyncio.Event) -> None:
        self.aggregator: Aggregator | None = None
        self._stopping = stopping

    async def GetSessionProgress(  # noqa: N802
        self, request: progress_pb2.GetSessionProgressRequest, _: _Context
    ) -> progress_pb2.GetSessionProgressResponse:
        """One session, or NOT_FOUND."""
        session = self._caught_up().sessions.get(request.session_id)
        if session is None:
            raise MissingError(f"No progress of session {request.session_id} is known.", reason="UNKNOWN_SESSION")
        return progress_pb2.GetSessionProgressResponse(progress=session_to_wire(request.session_id, session))

    async def ListSessionProgress(  # noqa: N802
        self, request: progress_pb2.ListSessionProgressRequest, _: _Context
    ) -> progress_pb2.ListSessionProgressResponse:
        """Several sessions, by id; unknown ones are left out."""
        sessions = self._caught_up().sessions
        wanted = sorted(set(request.session_ids) & sessions.keys()) if request.session_ids else sorted(sessions)
        return progress_pb2.ListSessionProgressResponse(
            progress=[session_to_wire(session_id, sessions[session_id]) for session_id in wanted]
        )

    async def WatchSessionProgress(  # noqa: N802
        self, request: progress_pb2.WatchSessionProgressRequest, _: _Context
    ) -> AsyncIterator[progress_pb2.WatchSessionProgressResponse]:
        """The whole state of each watched session, then its changes; ends with UNAVAILABLE when the service stops."""
        aggregator = self._caught_up()
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            async with aclosing(aggregator.watch(request.session_ids)) as changes:
                while True:
                    session_id = await _next_unless(stopping, changes)
                    progress = session_to_wire(session_id, aggregator.sessions[session_id])
                    yield progress_pb2.WatchSessionProgressResponse(progress=progress)
        finally:
            stopping.cancel()

    def _caught_up(self) -> Aggregator:
        if self.aggregator is None:
            raise AwayError("This replica has not read all events yet; try again.", reason="STARTING")
        return self.aggregator


async def _next_unless(stopping: asyncio.Task[Any], changes: AsyncGenerator[int, None]) -> int:
    """The next change. Raises AwayError once the service stops, however many there are."""
    change = asyncio.ensure_future(anext(changes))
    try:
        await asyncio.wait([change, stopping], return_when=asyncio.FIRST_COMPLETED)
        if stopping.done():
            raise AwayError("This replica is stopping; watch another.", reason="STOPPING")
        return change.result()
    finally:
        if not change.done():
            change.cancel()
            # The generator can only be closed when nobody is in it any more.
            await asyncio.wait([change])
