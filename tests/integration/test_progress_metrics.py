"""Metrics of the progress service: what is folded and dropped, how late, and how sessions stand, in real numbers."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import nats as nats_client
import pytest
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from tests.support.metrics import Scrape, scrape, scrape_until
from tests.support.ports import free_port
from tests.support.progress_events import (
    COMPLETED,
    PAUSED,
    SHARD_SIZE,
    TRAINING,
    WEIGHTS,
    counts,
    jetstream_at,
    life,
    publish,
    whole_session,
)
from tests.support.running_aggregator import RunningAggregator, running_aggregator
from tests.support.running_progress import RunningProgress, running_progress
from triptych.v1 import progress_event_pb2
from triptych_common.errors import ConfigurationError
from triptych_common.metrics import serving_metrics
from triptych_common.progress.events import REANNOUNCE_ACCEPTED, REANNOUNCE_SUBJECT, subject_of
from triptych_progress.aggregator import Aggregator
from triptych_progress.messages import SessionMessages
from triptych_progress.metrics import AggregatorMetrics
from triptych_progress.reducer import Report
from triptych_progress.sessions import Sessions

PHASE_VALUES = tuple(WEIGHTS)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A progress service as a process, and where its metrics are."""

    service: RunningProgress
    address: str
    nats_url: str

    async def publish_one_by_one(self, *events: progress_event_pb2.ProgressEvent | bytes) -> Scrape:
        """Publish events, or what is none, each when the one before it is folded or dropped."""
        metrics = await scrape(self.address)
        async with jetstream_at(self.nats_url) as jetstream:
            for event in events:
                metrics = await self._publish(jetstream, event, taken_before=taken(metrics))
        return metrics

    async def _publish(
        self, jetstream: JetStreamContext, event: progress_event_pb2.ProgressEvent | bytes, *, taken_before: float
    ) -> Scrape:
        if isinstance(event, bytes):
            await jetstream.publish(subject_of(1, TRAINING), event)
        else:
            await jetstream.publish(subject_of(event.session_id, event.phase), event.SerializeToString())
        return await scrape_until(self.address, lambda one: taken(one) == taken_before + 1, "it is folded or dropped")


def taken(metrics: Scrape) -> float:
    """Events that were folded or dropped."""
    folded = metrics.by_label("triptych_progress_events_folded_total", "kind")
    dropped = metrics.by_label("triptych_progress_events_dropped_total", "reason")
    return sum(folded.values()) + sum(dropped.values())


@contextlib.asynccontextmanager
async def measured(nats_url: str, folder: Path, **settings: str) -> AsyncIterator[Measured]:
    """The service as a process that serves metrics."""
    address = f"127.0.0.1:{free_port()}"
    with contextlib.ExitStack() as stack:
        service = await asyncio.to_thread(
            stack.enter_context,
            running_progress(nats_url=nats_url, folder=folder, metrics_listen=address, **settings),
        )
        yield Measured(service=service, address=address, nats_url=nats_url)


@contextlib.asynccontextmanager
async def measured_here(running: RunningAggregator) -> AsyncIterator[str]:
    """Serve the metrics of an aggregator in this process; yields where."""
    address = f"127.0.0.1:{free_port()}"
    metrics = AggregatorMetrics(lambda: running.aggregator, running.service.messages)
    async with serving_metrics(address, collectors=[metrics]):
        yield address


async def test_what_is_folded_and_dropped_is_counted_by_kind_and_reason_and_each_was_late_once(
    nats_url: str, tmp_path: Path
) -> None:
    async with measured(nats_url, tmp_path) as service:
        before = await scrape(service.address)
        assert taken(before) == 0
        assert before.get("triptych_progress_lag_seconds_count") == 0

        impossible = counts(7, SHARD_SIZE, failed=1)
        late_duplicate = counts(0, 3)
        metrics = await service.publish_one_by_one(
            life(), counts(0), late_duplicate, b"\xff\xffgarbage", impossible, counts(1), impossible
        )
        assert metrics.by_label("triptych_progress_events_folded_total", "kind") == {"lifecycle": 1, "counts": 3}
        assert metrics.by_label("triptych_progress_events_dropped_total", "reason") == {"garbled": 1, "impossible": 2}
        assert metrics.get("triptych_progress_lag_seconds_count") == 7
        lag = metrics.get("triptych_progress_lag_seconds_sum")
        assert lag is not None
        assert 0 < lag < 60
        assert metrics.get("triptych_progress_lag_seconds_bucket", le="+Inf") == 7
        assert metrics.get("process_open_fds"), "what Prometheus expects of any process is there too"


async def test_sessions_under_way_stand_as_the_service_says_and_leave_when_they_are_over(
    nats_url: str, tmp_path: Path
) -> None:
    async with measured(nats_url, tmp_path, snapshot_seconds="0.1", evict_after_seconds="0") as service:
        started = life(total=1000)
        started.lifecycle.evidence.history.add(items=1000, seconds=500)
        await service.publish_one_by_one(
            started, *(counts(ordinal) for ordinal in range(4)), life(PAUSED, session_id=2, total=40)
        )
        metrics = await service.publish_one_by_one(counts(1, session_id=2))
        said = {str(one): await asyncio.to_thread(service.service.get, one) for one in (1, 2)}
        percentages = {name: progress.percentage for name, progress in said.items() if progress is not None}
        assert percentages == {"1": 1.2, "2": 7.5}
        assert metrics.by_label("triptych_progress_session_percentage", "session") == percentages
        assert said["1"] is not None
        assert not said["1"].HasField("eta_seconds"), "nothing is known of its next phases, so nothing of it all"
        assert metrics.by_label("triptych_progress_session_eta_seconds", "session") == {}
        assert metrics.get("triptych_progress_sessions") == 2

        await publish(nats_url, *whole_session(2))
        metrics = await scrape_until(
            service.address, lambda one: one.get("triptych_progress_sessions") == 1, "the session that is over is away"
        )
        assert metrics.by_label("triptych_progress_session_percentage", "session").keys() == {"1"}


async def test_the_eta_of_a_session_is_there_while_it_can_be_said(nats_url: str) -> None:
    async with running_aggregator(nats_url) as running, measured_here(running) as address:
        lives = [life(phase=phase, total=100) for phase in PHASE_VALUES]
        for one in lives:
            one.lifecycle.evidence.history.add(items=100, seconds=50)
        await publish(nats_url, *lives)
        said = await running.until(lambda one: one.HasField("eta_seconds") and one.phases[2].total == 100)
        metrics = await scrape(address)
        assert metrics.by_label("triptych_progress_session_eta_seconds", "session") == {"1": said.eta_seconds}

        await publish(nats_url, life(PAUSED))
        await running.until(lambda one: not one.HasField("eta_seconds"))
        assert (await scrape(address)).by_label("triptych_progress_session_eta_seconds", "session") == {}

        await publish(nats_url, *(life(COMPLETED, phase=phase) for phase in PHASE_VALUES))
        await running.until(lambda one: one.percentage == 100)
        metrics = await scrape(address)
        assert running.in_memory == [1]
        assert metrics.by_label("triptych_progress_session_percentage", "session") == {}


async def test_the_age_of_snapshots_grows_until_one_is_written(nats_url: str) -> None:
    async with running_aggregator(nats_url, snapshot_seconds=0.2) as running, measured_here(running) as address:
        name = "triptych_progress_snapshot_age_seconds"
        ages: list[float] = []

        def is_seen_to_fall_and_grow(metrics: Scrape) -> bool:
            age = metrics.get(name)
            assert age is not None
            ages.append(age)
            steps = [after - before for before, after in pairwise(ages)]
            return min(steps, default=0) < 0 < max(steps, default=0)

        await scrape_until(address, is_seen_to_fall_and_grow, "the age grows and falls")
        assert min(ages) >= 0


async def test_the_age_of_snapshots_tells_that_none_can_be_written(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise TimeoutError

    async with running_aggregator(nats_url) as running, measured_here(running) as address:
        await running.until_saved()
        monkeypatch.setattr(running.aggregator.keeper, "save", fail)
        name = "triptych_progress_snapshot_age_seconds"
        await scrape_until(address, lambda one: (one.get(name) or 0) > 1, "it is older than it ever should be")
        monkeypatch.undo()
        await scrape_until(address, lambda one: (one.get(name) or 0) < 1, "it is young again")


async def test_a_flaw_of_the_fold_costs_its_event_only_and_is_counted(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold = Sessions.fold

    def has_a_flaw(self: Sessions, report: Report, *, time_microseconds: int) -> None:
        if report.session_id == 2:
            raise ZeroDivisionError
        fold(self, report, time_microseconds=time_microseconds)

    monkeypatch.setattr(Sessions, "fold", has_a_flaw)
    async with running_aggregator(nats_url) as running, measured_here(running) as address:
        await publish(nats_url, life(), life(session_id=2), counts(0))
        await running.until_done(SHARD_SIZE)
        metrics = await scrape(address)
        assert metrics.by_label("triptych_progress_events_dropped_total", "reason") == {"flaw": 1}
        assert taken(metrics) == 3


async def test_reannouncements_are_counted(nats_url: str) -> None:
    async def accept(message: Msg) -> None:
        await message.respond(REANNOUNCE_ACCEPTED)

    async with running_aggregator(nats_url) as running, measured_here(running) as address:
        name = "triptych_progress_reannouncements_total"
        assert (await scrape(address)).get(name) == 0
        gateway = await nats_client.connect(nats_url, allow_reconnect=False)
        await gateway.subscribe(REANNOUNCE_SUBJECT, cb=accept)
        await scrape_until(address, lambda one: one.get(name) == 1, "the gateway's answer is counted")
        await gateway.close()


async def test_before_it_has_caught_up_there_are_metrics_without_numbers() -> None:
    address = f"127.0.0.1:{free_port()}"
    nobody: Aggregator | None = None
    async with serving_metrics(address, collectors=[AggregatorMetrics(lambda: nobody, SessionMessages())]):
        metrics = await scrape(address)
        assert metrics.get("triptych_progress_lag_seconds_count") == 0
        ours = {name for name in metrics.types if name.startswith("triptych_")}
        assert ours == {"triptych_progress_lag_seconds", "triptych_progress_lag_seconds_created"}


@pytest.mark.parametrize("where", ["taken", "127.0.0.1:99999", "nowhere"])
async def test_an_address_that_cannot_be_had_is_told_with_what_to_do(where: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        address = f"127.0.0.1:{holder.getsockname()[1]}" if where == "taken" else where
        with pytest.raises(ConfigurationError, match="Set TRIPTYCH_METRICS_LISTEN"):
            async with serving_metrics(address, collectors=[]):
                pass
