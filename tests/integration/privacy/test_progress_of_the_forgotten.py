"""Progress of a session that is forgotten: gone from every replica, the snapshots and the stream, for good."""

import pytest

from tests.support.nats_server import NatsServer
from tests.support.progress_events import jetstream_at, publish, whole_session
from tests.support.real_servers import eventually
from tests.support.running_aggregator import NEVER_SECONDS, RunningAggregator, running_aggregator
from triptych_common.progress.events import ENDED_BUCKET, SNAPSHOT_BUCKET, STREAM, forgotten_subject

AT_ONCE = 0.0


async def forget(nats_url: str, session_id: int) -> None:
    async with jetstream_at(nats_url) as jetstream:
        await jetstream.publish(forgotten_subject(session_id), b"")


async def traces(nats_url: str, session_id: int) -> set[str]:
    """The subjects under which NATS has something of a session."""
    found: set[str] = set()
    async with jetstream_at(nats_url) as jetstream:
        for stream in (STREAM, f"KV_{SNAPSHOT_BUCKET}", f"KV_{ENDED_BUCKET}"):
            subjects = (await jetstream.stream_info(stream, subjects_filter=">")).state.subjects or {}
            found |= {one for one in subjects if str(session_id) in one.split(".")}
    return found


async def is_forgotten(running: RunningAggregator, nats_url: str, session_id: int) -> None:
    async def holds() -> bool:
        return (
            await traces(nats_url, session_id) == {forgotten_subject(session_id)}
            and session_id not in running.in_memory
            and not await running.list_progress(session_id)
        )

    await eventually(holds, f"session {session_id} is forgotten")


@pytest.mark.parametrize("evict_after_seconds", [NEVER_SECONDS, AT_ONCE], ids=["in memory", "put away"])
async def test_nothing_is_left_of_a_session_in_any_replica_and_others_stay(
    nats: NatsServer, evict_after_seconds: float
) -> None:
    async with (
        running_aggregator(nats.url, evict_after_seconds=evict_after_seconds) as one,
        running_aggregator(nats.url, evict_after_seconds=evict_after_seconds) as other,
    ):
        await publish(nats.url, *whole_session(17), *whole_session(2))
        for running in (one, other):
            await running.until(lambda progress: progress.percentage == 100, 17)
            await running.until_saved()
        kept = await one.get(2)

        await forget(nats.url, 17)

        for running in (one, other):
            await is_forgotten(running, nats.url, 17)
            assert await running.get(2) == kept


async def test_it_does_not_come_back_with_the_next_process(nats: NatsServer) -> None:
    async with running_aggregator(nats.url, saves_at_the_end=False) as running:
        await publish(nats.url, *whole_session(17), *whole_session(2))
        await running.until(lambda progress: progress.percentage == 100, 17)
        await running.until_saved()
    await forget(nats.url, 17)

    async with running_aggregator(nats.url) as running:
        await is_forgotten(running, nats.url, 17)
        await running.until(lambda progress: progress.percentage == 100, 2)
