"""The stream and the buckets of progress: made as the settings say, by whoever comes first, and then left alone."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import nats.js.errors
import pytest
from nats.js.api import StorageType, StreamConfig, StreamInfo
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.support.progress_events import counts, jetstream_at, life, publish
from tests.support.running_aggregator import running_aggregator
from tests.support.running_progress import running_progress
from triptych_common.progress.events import ENDED_BUCKET, SNAPSHOT_BUCKET, STREAM, StreamLimits, stream_config

LIMITS = StreamLimits(max_age_seconds=3600.0, max_bytes=2**21, max_event_bytes=8192)
KEEP_ENDED_SECONDS = 7200.0
AS_MADE = tuple(name for name, value in vars(stream_config(LIMITS)).items() if value is not None)


async def stream_info(nats_url: str, stream: str = STREAM) -> StreamInfo:
    async with jetstream_at(nats_url) as jetstream:
        return await jetstream.stream_info(stream)


def said_of(config: StreamConfig) -> dict[str, Any]:
    """What a stream's configuration says of everything that is asked for."""
    return {name: getattr(config, name) for name in AS_MADE}


def reported(logs: list[EventDict]) -> dict[str, tuple[str, str]]:
    """Settings that were reported to be other than wanted: what was found, and what was wanted."""
    return {
        line["setting"]: (line["found"], line["wanted"])
        for line in logs
        if line["event"].startswith("the stream has another setting") and line["log_level"] == "warning"
    }


async def test_the_stream_and_its_buckets_are_made_with_the_limits_of_the_settings(
    nats_url: str, tmp_path: Path
) -> None:
    service = running_progress(
        nats_url=nats_url,
        folder=tmp_path,
        stream_max_age_seconds=str(LIMITS.max_age_seconds),
        stream_max_bytes=str(LIMITS.max_bytes),
        stream_max_event_bytes=str(LIMITS.max_event_bytes),
        keep_ended_seconds=str(KEEP_ENDED_SECONDS),
    )
    with contextlib.ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, service)
        made = (await stream_info(nats_url)).config
        assert said_of(made) == said_of(stream_config(LIMITS))
        assert (made.max_age, made.max_bytes, made.max_msg_size) == (3600.0, 2**21, 8192)
        assert (await stream_info(nats_url, f"KV_{ENDED_BUCKET}")).config.max_age == KEEP_ENDED_SECONDS
        assert not (await stream_info(nats_url, f"KV_{SNAPSHOT_BUCKET}")).config.max_age

        too_large = counts(0)
        too_large.worker = "x" * LIMITS.max_event_bytes
        with pytest.raises(nats.js.errors.APIError):
            await publish(nats_url, too_large)


async def test_whoever_comes_first_makes_the_stream_and_the_others_find_it(nats_url: str) -> None:
    with capture_logs() as logs:
        async with contextlib.AsyncExitStack() as stack:
            replicas = [
                asyncio.create_task(stack.enter_async_context(running_aggregator(nats_url, limits=LIMITS)))
                for _ in range(4)
            ]
            running = await asyncio.gather(*replicas)
            made = await stream_info(nats_url)
            await publish(nats_url, life())
            told = [await one.until(lambda _: True) for one in running]
            assert told == [told[0]] * len(running)
        async with running_aggregator(nats_url, limits=LIMITS) as later:
            assert await later.get() == told[0]
    assert reported(logs) == {}
    found = await stream_info(nats_url)
    assert (found.created, found.state.messages) == (made.created, 1)
    assert said_of(found.config) == said_of(stream_config(LIMITS))


@pytest.mark.parametrize(
    ("other", "setting", "found", "wanted"),
    [
        (StreamLimits(max_age_seconds=60.0), "max_age", "60.0", "3600.0"),
        (StreamLimits(max_age_seconds=60.0), "duplicate_window", "60.0", "120.0"),
        (StreamLimits(max_bytes=2**22), "max_bytes", str(2**22), str(2**21)),
        (StreamLimits(max_event_bytes=4096), "max_msg_size", "4096", "8192"),
    ],
)
async def test_a_stream_with_other_limits_is_reported_by_name_and_not_changed(
    nats_url: str, other: StreamLimits, setting: str, found: str, wanted: str
) -> None:
    async with jetstream_at(nats_url) as jetstream:
        before = (await jetstream.add_stream(stream_config(other))).config
    with capture_logs() as logs:
        async with running_aggregator(nats_url, limits=LIMITS) as running:
            await publish(nats_url, life())
            await running.until(lambda _: True)
    told = reported(logs)
    assert told[setting] == (found, wanted)
    assert (await stream_info(nats_url)).config == before


async def test_everything_that_is_other_than_wanted_is_reported_and_nothing_else(nats_url: str) -> None:
    config = stream_config(LIMITS)
    config.storage = StorageType.MEMORY
    config.max_bytes = 2**20
    async with jetstream_at(nats_url) as jetstream:
        await jetstream.add_stream(config)
    with capture_logs() as logs:
        async with running_aggregator(nats_url, limits=LIMITS):
            pass
    told = reported(logs)
    assert told.keys() == {"storage", "max_bytes"}
    assert told["storage"] == ("memory", "file")
    assert (await stream_info(nats_url)).config.storage == StorageType.MEMORY
