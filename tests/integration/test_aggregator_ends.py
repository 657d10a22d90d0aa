"""The aggregator's end: whenever it comes, and whatever it meets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import nats.errors
import pytest
import pytest_asyncio
from nats.aio.client import Client

from tests.support.real_servers import DEADLINE_SECONDS
from tests.support.running_aggregator import NEVER_SECONDS, until
from triptych_common.progress.events import StreamLimits
from triptych_common.progress.publisher import close_nats, connect_nats
from triptych_progress.aggregator import Aggregator, AggregatorSettings

SETTINGS = AggregatorSettings(
    limits=StreamLimits(), snapshot_seconds=0.05, evict_after_seconds=NEVER_SECONDS, keep_ended_seconds=NEVER_SECONDS
)


@pytest_asyncio.fixture
async def client(nats_url: str) -> AsyncIterator[Client]:
    connected = await connect_nats(nats_url, name="test")
    yield connected
    await close_nats(connected)


@pytest_asyncio.fixture
async def aggregator(client: Client) -> Aggregator:
    return Aggregator(client, SETTINGS)


class CancellationMeetsAnswer:
    """Takes the place of a call to NATS: the first cancellation comes together with the answer, and is lost."""

    def __init__(self, real: Callable[..., Any]) -> None:
        self._real = real
        self.is_waiting = asyncio.Event()
        self.has_lost = False

    async def __call__(self, *arguments: Any, **options: Any) -> Any:
        if not self.has_lost:
            self.is_waiting.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.has_lost = True
        return await self._real(*arguments, **options)


@pytest.mark.parametrize("part", ["snapshots", "announcements"])
async def test_it_ends_also_where_a_cancellation_meets_an_answer_of_nats(aggregator: Aggregator, part: str) -> None:
    owner: Any = aggregator.keeper if part == "snapshots" else aggregator.reannouncement
    name = "save" if part == "snapshots" else "_ask_until_accepted"
    waits = CancellationMeetsAnswer(getattr(owner, name))
    setattr(owner, name, waits)
    running = asyncio.create_task(aggregator.run())
    async with asyncio.timeout(DEADLINE_SECONDS):
        await waits.is_waiting.wait()

    running.cancel()
    await asyncio.wait([running], timeout=DEADLINE_SECONDS)

    assert waits.has_lost
    assert running.cancelled()


async def test_it_ends_with_the_trouble_of_a_part(aggregator: Aggregator, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(aggregator.keeper, "save", fail)
    with pytest.raises(ExceptionGroup) as raised:
        await asyncio.wait_for(aggregator.run(), DEADLINE_SECONDS)
    assert raised.group_contains(ZeroDivisionError)


async def test_it_ends_where_nats_closed_the_connection_for_good(aggregator: Aggregator, client: Client) -> None:
    running = asyncio.create_task(aggregator.run())
    await until(aggregator.caught_up.is_set, "it has caught up")
    await close_nats(client)
    with pytest.raises(ExceptionGroup) as raised:
        await asyncio.wait_for(running, DEADLINE_SECONDS)
    assert raised.group_contains(nats.errors.ConnectionClosedError)
