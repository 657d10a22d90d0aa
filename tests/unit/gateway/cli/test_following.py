"""A session is followed to its end, whatever happens to the connection."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from triptych_gateway.cli.rest.answers import Snapshot
from triptych_gateway.cli.rest.client import GatewayClient
from triptych_gateway.cli.rest.errors import GatewayUnreachable, RequestRefused
from triptych_gateway.cli.rest.following import (
    ConnectionLost,
    ConnectionRestored,
    FollowingOptions,
    StreamGivenUp,
    Update,
    follow,
)

if TYPE_CHECKING:
    from tests.unit.gateway.cli.conftest import ContractGateway

SWIFT = FollowingOptions(patience_seconds=20.0, poll_interval_seconds=0.02)


async def _follow(gateway: "ContractGateway", options: FollowingOptions = SWIFT) -> list[Update]:
    async with GatewayClient(gateway.url) as client:
        return [update async for update in follow(client, 7, options=options)]


def _percentages(updates: list[Update]) -> list[float]:
    return [update.overall_progress.percentage for update in updates if isinstance(update, Snapshot)]


async def test_the_stream_brings_every_snapshot_and_ends_with_the_terminal_one(gateway: "ContractGateway") -> None:
    updates = await _follow(gateway)
    assert _percentages(updates) == [0.0, 9.0, 62.5, 100.0]
    assert len(updates) == 4
    assert ("GET", "/api/v1/training/sessions/7/progress-unified") not in gateway.requests


async def test_an_error_event_ends_with_the_failed_snapshot(gateway: "ContractGateway") -> None:
    gateway.play_failure()
    last = (await _follow(gateway))[-1]
    assert isinstance(last, Snapshot)
    assert last.overall_status == "failed"


async def test_without_a_stream_snapshots_are_asked_for(gateway: "ContractGateway") -> None:
    gateway.offers_stream = False
    updates = await _follow(gateway)
    assert isinstance(updates[0], StreamGivenUp)
    assert _percentages(updates) == [0.0, 9.0, 62.5, 100.0]


async def test_a_broken_stream_is_taken_up_where_it_stopped(gateway: "ContractGateway") -> None:
    gateway.breaks_stream_after = 2
    updates = await _follow(gateway)
    assert [type(update) for update in updates if not isinstance(update, Snapshot)] == [
        ConnectionLost,
        ConnectionRestored,
    ]
    assert _percentages(updates) == [0.0, 9.0, 62.5, 100.0]


async def test_a_gateway_that_restarts_is_waited_for(gateway: "ContractGateway") -> None:
    gateway.holds_at = 1
    seen: list[Update] = []
    async with GatewayClient(gateway.url) as client:
        async for update in follow(client, 7, options=SWIFT):
            seen.append(update)
            if isinstance(update, Snapshot) and update.revision == 1 and gateway.holds_at is not None:
                await asyncio.to_thread(gateway.stop)
                gateway.holds_at = None
            elif isinstance(update, ConnectionLost):
                await asyncio.to_thread(gateway.start)
    assert [type(update) for update in seen if not isinstance(update, Snapshot)] == [ConnectionLost, ConnectionRestored]
    assert _percentages(seen) == [0.0, 9.0, 62.5, 100.0]


async def test_a_stream_says_from_where_it_goes_on(gateway: "ContractGateway") -> None:
    gateway.play_success()
    gateway.snapshots[3:3] = [gateway.snapshots[2]] * 3
    gateway.breaks_stream_after = 2
    await _follow(gateway)
    assert gateway.last_event_ids == [None, "1"]


async def test_patience_ends_with_a_sentence(gateway: "ContractGateway") -> None:
    gateway.holds_at = 0
    options = FollowingOptions(patience_seconds=0.2, poll_interval_seconds=0.02)
    async with GatewayClient(gateway.url) as client:
        with pytest.raises(GatewayUnreachable, match=r"did not come back within 0\.2 s"):
            async for update in follow(client, 7, options=options):
                if isinstance(update, Snapshot):
                    await asyncio.to_thread(gateway.stop)


async def test_a_refusal_is_not_tried_again(gateway: "ContractGateway") -> None:
    body = {"message": "There is no session 7", "error": {"code": "session_not_found", "message": "", "details": {}}}
    gateway.refusals["/stream"] = (404, body)
    with pytest.raises(RequestRefused, match="There is no session 7"):
        await _follow(gateway)
    assert len(gateway.requests) == 1


async def test_a_stream_that_ends_without_a_word_gives_way_to_polling(gateway: "ContractGateway") -> None:
    gateway.ends_stream_at_once = True
    updates = await _follow(gateway)
    assert any(isinstance(update, StreamGivenUp) for update in updates)
    assert _percentages(updates)[-1] == 100.0
