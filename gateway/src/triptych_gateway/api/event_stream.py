"""Snapshots as Server-Sent Events: https://html.spec.whatwg.org/multipage/server-sent-events.html."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from starlette.responses import StreamingResponse

from triptych_common.logging import get_logger
from triptych_gateway.api.snapshots import Reader, Snapshot, Snapshots
from triptych_gateway.catalog.database import DATABASE_AWAY, is_away
from triptych_gateway.catalog.errors import NotFoundError

log = get_logger(__name__)

HEARTBEAT_SECONDS: Final = 15.0
APART_SECONDS: Final = 0.25
"""Least time between two events of a session on one stream; what changes meanwhile collapses."""
_LATEST_TIMESTAMP: Final = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
_HEARTBEAT: Final = b": still there\n\n"
_NAMES: Final = {"completed": "complete", "failed": "error", "cancelled": "error"}
_HEADERS: Final = {"cache-control": "no-cache", "x-accel-buffering": "no"}
"""The second tells a proxy such as nginx to pass on each event at once."""


def event_stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    """The answer that sends events."""
    return StreamingResponse(events, media_type="text/event-stream", headers=_HEADERS)


@dataclass(frozen=True, kw_only=True)
class StreamEvent:
    """What a stream tells of a session at a moment."""

    status: str
    """Decides the event's name; no event follows a completed, failed or cancelled one."""
    id: str
    content: bytes
    """JSON."""
    news: Hashable
    """What makes it another one for a reader that has heard of the session."""

    @property
    def is_last(self) -> bool:
        """Whether the stream ends with it."""
        return self.status in _NAMES

    def encode(self) -> bytes:
        """The event as it is sent."""
        name = _NAMES.get(self.status, "progress")
        return b"event: %s\nid: %s\ndata: %s\n\n" % (name.encode(), self.id.encode(), self.content)


def session_event(snapshot: Snapshot, *, event_id: int | None = None) -> StreamEvent:
    """A snapshot as an event, under its revision or another id."""
    number = snapshot.revision if event_id is None else event_id
    return StreamEvent(status=snapshot.status, id=str(number), content=snapshot.content, news=snapshot.news)


def follow_session(snapshots: Snapshots, session_id: int, *, after_revision: int) -> AsyncIterator[bytes]:
    """The present snapshot unless it is that revision, then one on each change; see `follow`."""
    return follow(snapshots, session_id, event_of=session_event, last_event_id=str(after_revision))


async def follow(
    snapshots: Snapshots, session_id: int, *, event_of: Callable[[Snapshot], StreamEvent], last_event_id: str
) -> AsyncIterator[bytes]:
    """What ``event_of`` makes of the present snapshot unless it has that id, then of each that brings news.

    Ends after a last event, when the session is deleted, and when the gateway shuts down. While the database is away
    and nothing is known it waits: a reader that were answered 503 when it connects again would not try a second time.
    """
    reader = snapshots.read(session_id)
    clock = asyncio.get_running_loop().time
    try:
        told: Hashable = None
        heard_at = clock()
        while not snapshots.closing:
            snapshot = await _snapshot(snapshots, session_id)
            if snapshot is None:
                return
            event = event_of(snapshot)
            if event.news != told and not (told is None and event.id == last_event_id):
                yield event.encode()
                heard_at = clock()
            elif clock() - heard_at >= HEARTBEAT_SECONDS:
                # The session changes all the time, but brings no news to this reader.
                yield _HEARTBEAT
                heard_at = clock()
            told = event.news
            if event.is_last:
                return
            await asyncio.sleep(APART_SECONDS)
            while not snapshots.closing and not await reader.changed(seconds=heard_at + HEARTBEAT_SECONDS - clock()):
                if not snapshots.closing:
                    yield _HEARTBEAT
                    heard_at = clock()
    finally:
        reader.close()


async def follow_all(snapshots: Snapshots, *, after_microseconds: int) -> AsyncIterator[bytes]:
    """Every session that is under way, then each change of any session.

    The end of a session is told as on its own stream, and this one goes on. Ids are moments by the database's clock and
    never go back; a reader that connects again with the last one is also told which sessions ended meanwhile.
    """
    reader = snapshots.read(None)
    try:
        newest = after_microseconds
        told: dict[int, tuple[int, bool, int]] = {}
        waiting = snapshots.under_way()
        if after_microseconds > 0:
            moment = datetime.fromtimestamp(min(after_microseconds / 1e6, _LATEST_TIMESTAMP), UTC)
            waiting += await snapshots.ended_since(moment)
        while not snapshots.closing:
            for session_id in waiting:
                snapshot = await _snapshot(snapshots, session_id)
                if snapshot is None or told.get(session_id) == snapshot.news:
                    continue
                told[session_id] = snapshot.news
                newest = max(newest, round(snapshot.changed_at.timestamp() * 1e6))
                yield session_event(snapshot, event_id=newest).encode()
                if snapshot.is_terminal:
                    del told[session_id]
            await asyncio.sleep(APART_SECONDS)
            waiting = []
            while not snapshots.closing and not waiting:
                waiting = await _changed_under_way(reader, snapshots, told)
                if not waiting and not snapshots.closing:
                    yield _HEARTBEAT
    finally:
        reader.close()


async def _changed_under_way(reader: Reader, snapshots: Snapshots, told: dict[int, tuple[int, bool, int]]) -> list[int]:
    """Changed sessions that are under way, or of which the reader was told while they were."""
    changed = await reader.changed(seconds=HEARTBEAT_SECONDS)
    under_way = set(snapshots.under_way())
    return [one for one in changed if one in told or one in under_way]


async def _snapshot(snapshots: Snapshots, session_id: int) -> Snapshot | None:
    """A session's snapshot, as soon as one can be had; None where the session is gone, or the gateway ends."""
    while not snapshots.closing:
        try:
            return await snapshots.get(session_id)
        except NotFoundError:
            return None
        except DATABASE_AWAY as error:
            if not is_away(error):
                raise
            log.warning("a progress stream waits for the database", session=session_id, error=repr(error))
            await asyncio.sleep(APART_SECONDS)
    return None
