"""Server-Sent Events are read as the standard says."""

from collections.abc import AsyncIterator

from triptych_gateway.cli.rest.event_stream import ServerSentEvent, read_events


async def _events(text: str) -> list[ServerSentEvent]:
    async def lines() -> AsyncIterator[str]:
        for line in text.split("\n"):
            yield line

    return [event async for event in read_events(lines())]


async def test_reads_names_ids_and_data_of_several_lines() -> None:
    events = await _events("event: progress\nid: 3\ndata: one\ndata:two\n\n")
    assert events == [ServerSentEvent(event="progress", data="one\ntwo", last_event_id="3")]


async def test_passes_over_heartbeats_and_unknown_fields() -> None:
    events = await _events(": heartbeat\n\nretry: 10\nsomething\ndata: x\n\n")
    assert events == [ServerSentEvent(event="message", data="x", last_event_id=None)]


async def test_an_id_lasts_until_the_next_one() -> None:
    events = await _events("id: 1\ndata: a\n\ndata: b\n\n")
    assert [event.last_event_id for event in events] == ["1", "1"]


async def test_an_event_cut_short_is_dropped() -> None:
    assert await _events("data: whole\n\ndata: half") == [
        ServerSentEvent(event="message", data="whole", last_event_id=None)
    ]
