"""Reads Server-Sent Events (WHATWG HTML, section 9.2) out of lines of text."""

from collections.abc import AsyncIterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ServerSentEvent:
    """One event: its name ("message" where none was given), its data and the last id seen up to it (None: none)."""

    event: str
    data: str
    last_event_id: str | None


async def read_events(lines: AsyncIterator[str]) -> AsyncIterator[ServerSentEvent]:
    """The events in `lines` (without their line ends); comments are passed over, an event cut short is dropped."""
    event, data, last_event_id = "", list[str](), None
    async for line in lines:
        if not line:
            if data:
                yield ServerSentEvent(event=event or "message", data="\n".join(data), last_event_id=last_event_id)
            event, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            event = value
        elif field == "data":
            data.append(value)
        elif field == "id" and "\0" not in value:
            last_event_id = value
