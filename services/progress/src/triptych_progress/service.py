"""The gRPC servicer of progress: only translation."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable
from typing import Any, Final

import grpc
import nats.errors

from triptych.v1 import progress_pb2, progress_pb2_grpc
from triptych_common.errors import AwayError, InvalidRequestError, MissingError
from triptych_progress.aggregator import Aggregator
from triptych_progress.messages import SessionMessages
from triptych_progress.session import Session
from triptych_progress.watching import Watcher

_Context = grpc.aio.ServicerContext[Any, Any]

MOST_NAMED: Final = 1000
"""Sessions that one request may name."""
MOST_AT_ONCE: Final = 64
"""Sessions in one message of a watch: a message costs as much as a few sessions in it."""


class ProgressService(progress_pb2_grpc.ProgressServicer):
    """Answers from the aggregator's memory; UNAVAILABLE until there is one that has caught up with the stream."""

    def __init__(self) -> None:
        self.aggregator: Aggregator | None = None
        self.messages = SessionMessages()

    async def GetSessionProgress(  # noqa: N802
        self, request: progress_pb2.GetSessionProgressRequest, _: _Context
    ) -> progress_pb2.GetSessionProgressResponse:
        """One session, or NOT_FOUND."""
        session = await _find(self._caught_up(), request.session_id)
        if session is None:
            raise _unknown([request.session_id])
        return progress_pb2.GetSessionProgressResponse(progress=self.messages.of(request.session_id, session))

    async def ListSessionProgress(  # noqa: N802
        self, request: progress_pb2.ListSessionProgressRequest, _: _Context
    ) -> progress_pb2.ListSessionProgressResponse:
        """Several sessions, by id; unknown ones are left out."""
        aggregator = self._caught_up()
        if request.session_ids:
            wanted = sorted(set(_within_bound(request.session_ids)))
            found = await asyncio.gather(*(_find(aggregator, session_id) for session_id in wanted))
            sessions: Iterable[tuple[int, Session | None]] = zip(wanted, found, strict=True)
        else:
            sessions = sorted(aggregator.sessions.in_memory.items())
        return progress_pb2.ListSessionProgressResponse(
            progress=[self.messages.of(session_id, session) for session_id, session in sessions if session is not None]
        )

    async def WatchSessionProgress(  # noqa: N802
        self, request: progress_pb2.WatchSessionProgressRequest, _: _Context
    ) -> AsyncIterator[progress_pb2.WatchSessionProgressResponse]:
        """The whole state of each watched session, then its changes; ends with UNAVAILABLE when the service stops.

        A watch of named sessions ends after the terminal state of the last of them.
        """
        aggregator = self._caught_up()
        named = set(_within_bound(request.session_ids))
        seen = request.after_revision if len(named) == 1 else 0
        with aggregator.watchers.watch(named) as watcher:
            open_ids = set(await _begin(aggregator, watcher, named))
            while open_ids or not named:
                changed = await watcher.next(most=MOST_AT_ONCE)
                if not changed:
                    raise AwayError("This replica is stopping; watch another.", reason="STOPPING")
                states = []
                for session_id in changed:
                    session = await _find(aggregator, session_id)
                    if session is None:
                        continue
                    if session.revision > seen:
                        states.append(self.messages.of(session_id, session))
                    if session.is_over():
                        open_ids.discard(session_id)
                if states:
                    yield progress_pb2.WatchSessionProgressResponse(progress=states[0], more=states[1:])

    def _caught_up(self) -> Aggregator:
        if self.aggregator is None:
            raise AwayError("This replica has not read all events yet; try again.", reason="STARTING")
        return self.aggregator


async def _find(aggregator: Aggregator, session_id: int) -> Session | None:
    try:
        return await aggregator.sessions.find(session_id)
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise AwayError(
            "The snapshots of ended sessions cannot be read while NATS is away; try again.", reason="NATS_AWAY"
        ) from error


async def _begin(aggregator: Aggregator, watcher: Watcher, named: Collection[int]) -> Collection[int]:
    """Tell a watcher of what there is already; the sessions that it is to be told of until they are over.

    Raises MissingError where none of the named ones is known.
    """
    if not named:
        for session_id in aggregator.sessions.in_memory:
            watcher.tell(session_id)
        return ()
    found = {session_id: await _find(aggregator, session_id) for session_id in sorted(named)}
    known = {session_id: session for session_id, session in found.items() if session is not None}
    if not known:
        raise _unknown(named)
    for session_id in known:
        watcher.tell(session_id)
    return known.keys()


def _within_bound(session_ids: Collection[int]) -> Collection[int]:
    if len(session_ids) > MOST_NAMED:
        raise InvalidRequestError(f"Name at most {MOST_NAMED} sessions, or none for all.", reason="TOO_MANY_SESSIONS")
    return session_ids


def _unknown(session_ids: Collection[int]) -> MissingError:
    names = ", ".join(map(str, sorted(session_ids)[:5]))
    return MissingError(f"No progress of session {names} is known.", reason="UNKNOWN_SESSION")
