"""What a publisher of progress says of itself: what it was told, what it sent, what it lost, and what waits."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.metrics import Scrape, scrape, scrape_until
from tests.support.nats_server import NatsServer
from tests.support.ports import free_port
from tests.support.progress_events import TRAINING, jetstream_at
from tests.support.running_aggregator import until
from triptych_common.metrics import serving_metrics
from triptych_common.progress.events import STREAM, StreamLimits, stream_config
from triptych_common.progress.metrics import PublisherMetrics
from triptych_common.progress.publisher import ProgressPublisher, PublisherStatistics, UnitReport

NEVER_SECONDS = 3600.0
NOTHING_DROPPED = {"full": 0.0, "refused": 0.0}


@pytest_asyncio.fixture
async def nats(nats: NatsServer) -> NatsServer:
    """With the stream."""
    async with jetstream_at(nats.url) as jetstream:
        await jetstream.add_stream(stream_config(StreamLimits()))
    return nats


def report(unit: str, done: int, *, total: int = 100) -> UnitReport:
    return UnitReport(session_id=1, phase=TRAINING, run=1, unit=unit, done=done, failed=0, total=total)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the metrics of a publisher say."""

    reports: float
    events: float
    waiting: float
    connected: bool
    dropped: dict[str, float]


def read(metrics: Scrape) -> Told:
    values = [
        metrics.get(f"triptych_publisher_{name}") for name in ("reports_total", "events_total", "waiting", "connected")
    ]
    reports, events, waiting, connected = (value for value in values if value is not None)
    dropped = metrics.by_label("triptych_publisher_dropped_total", "reason")
    assert connected in (0, 1)
    return Told(reports=reports, events=events, waiting=waiting, connected=bool(connected), dropped=dropped)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A publisher, and where its metrics are."""

    publisher: ProgressPublisher
    address: str

    async def until_told(self, wanted: Told) -> None:
        """Wait until the metrics say this."""
        await scrape_until(self.address, lambda metrics: read(metrics) == wanted, f"the metrics say {wanted}")


@contextlib.asynccontextmanager
async def measured(
    nats: NatsServer, *, interval_seconds: float = 0.02, max_units: int = 10_000
) -> AsyncIterator[Measured]:
    """A publisher that is connected, and serves its metrics."""
    address = f"127.0.0.1:{free_port()}"
    async with (
        ProgressPublisher(
            nats_url=nats.url, source="embedder", interval_seconds=interval_seconds, max_units=max_units
        ) as publisher,
        serving_metrics(address, collectors=[PublisherMetrics(publisher)]),
    ):
        await until(lambda: publisher.is_connected, "the publisher is connected")
        yield Measured(publisher=publisher, address=address)


async def events_in(nats: NatsServer) -> int:
    """Events that the stream has taken."""
    async with jetstream_at(nats.url) as jetstream:
        return (await jetstream.stream_info(STREAM)).state.messages


async def test_reports_that_newer_ones_replaced_are_counted_but_not_sent(nats: NatsServer) -> None:
    async with measured(nats) as one:
        await one.until_told(Told(reports=0, events=0, waiting=0, connected=True, dropped=NOTHING_DROPPED))
        for done in range(1, 101):
            one.publisher.report(report("shard-0", done))
            one.publisher.report(report("shard-1", done))
        await one.until_told(Told(reports=200, events=2, waiting=0, connected=True, dropped=NOTHING_DROPPED))
    assert await events_in(nats) == 2


async def test_what_waits_are_units_not_reports(nats: NatsServer) -> None:
    async with measured(nats, interval_seconds=NEVER_SECONDS) as one:
        for number in range(30):
            one.publisher.report(report(f"shard-{number % 3}", number))
        assert read(await scrape(one.address)) == Told(
            reports=30, events=0, waiting=3, connected=True, dropped=NOTHING_DROPPED
        )
        statistics = one.publisher.statistics
    assert statistics.sent == 3, "an orderly end sends them"
    assert one.publisher.statistics.waiting == 0


async def test_an_outage_shows_as_disconnected_with_what_waits_and_is_over_without_a_loss(nats: NatsServer) -> None:
    async with measured(nats) as one:
        one.publisher.report(report("shard-0", 100))
        before = Told(reports=1, events=1, waiting=0, connected=True, dropped=NOTHING_DROPPED)
        await one.until_told(before)

        nats.kill()
        await until(lambda: not one.publisher.is_connected, "the publisher notices")
        for number in range(1, 6):
            for done in (1, 2, 100):
                one.publisher.report(report(f"shard-{number}", done))
        await one.until_told(replace(before, reports=16, waiting=5, connected=False))

        await nats.start()
        await one.until_told(replace(before, reports=16, events=6))
    assert await events_in(nats) == 6


async def test_units_that_no_longer_find_room_are_counted_as_dropped(nats: NatsServer) -> None:
    async with measured(nats, max_units=5) as one:
        nats.kill()
        await until(lambda: not one.publisher.is_connected, "the publisher notices")
        for number in range(20):
            one.publisher.report(report(f"shard-{number}", 1))
        dropped = {**NOTHING_DROPPED, "full": 15}
        away = Told(reports=20, events=0, waiting=5, connected=False, dropped=dropped)
        await one.until_told(away)
        for number in range(15, 20):
            one.publisher.report(report(f"shard-{number}", 2))
        await one.until_told(replace(away, reports=25))

        await nats.start()
        await one.until_told(Told(reports=25, events=5, waiting=0, connected=True, dropped=dropped))


async def test_units_that_nats_will_never_take_are_counted_as_refused(nats: NatsServer) -> None:
    async with measured(nats) as one:
        one.publisher.report(report("too long for the server " * 100_000, 1))
        one.publisher.report(report("negative", -1))
        one.publisher.report(report("shard-0", 100))
        dropped = {**NOTHING_DROPPED, "refused": 2}
        await one.until_told(Told(reports=3, events=1, waiting=0, connected=True, dropped=dropped))


async def test_every_report_is_replaced_sent_dropped_or_waits_whatever_happens(nats: NatsServer) -> None:
    """In the end each unit's newest report was sent or dropped, and NATS came and went meanwhile."""
    units = 40
    async with measured(nats, max_units=units // 2) as one:
        for number in range(400):
            one.publisher.report(report(f"shard-{number % units}", number // units + 1, total=1000))
            if number in (100, 250):
                nats.kill()
                await until(lambda: not one.publisher.is_connected, "the publisher notices")
            elif number in (200, 350):
                await nats.start()
                await until(lambda: one.publisher.is_connected, "the publisher is back")
            assert _accounted(one.publisher.statistics) <= number + 1
        await until(lambda: one.publisher.statistics.waiting == 0, "nothing waits")
        metrics = await scrape(one.address)
        assert read(metrics).reports == 400
        assert read(metrics).dropped["full"] > 0
        assert read(metrics).events == one.publisher.statistics.sent


def _accounted(statistics: PublisherStatistics) -> int:
    return statistics.sent + statistics.waiting + statistics.dropped.total()


@pytest.mark.parametrize("name", ["embedder", "facedetect", "cluster"])
async def test_every_worker_service_serves_them_where_it_is_told(name: str, nats: NatsServer, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TRIPTYCH_")} | {
        "NATS_URL": nats.url,
        "TRIPTYCH_LISTEN": f"127.0.0.1:{free_port()}",
        "TRIPTYCH_METRICS_LISTEN": address,
    }
    script = str(Path(sys.executable).with_name(f"triptych-{name}"))
    with (tmp_path / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(script, env=environment, stderr=log)
    try:
        metrics = await scrape_until(
            address, lambda one: one.get("triptych_publisher_connected") == 1, f"{name} is connected, and says so"
        )
        assert read(metrics) == Told(reports=0, events=0, waiting=0, connected=True, dropped=NOTHING_DROPPED)
    finally:
        process.kill()
        await process.wait()
