"""The publisher where there is no NATS: it takes every report, keeps the newest of each unit, and ends in time."""

import asyncio

import pytest
from structlog.testing import capture_logs

from tests.support.ports import free_port
from triptych.v1 import work_pb2
from triptych_common.progress.publisher import ProgressPublisher, UnitReport, connect_nats


def _report(unit: str, done: int, *, failed: int = 0, total: int = 10) -> UnitReport:
    return UnitReport(
        session_id=1, phase=work_pb2.PHASE_TRAINING, run=1, unit=unit, done=done, failed=failed, total=total
    )


def _publisher(**options: int) -> ProgressPublisher:
    return ProgressPublisher(nats_url=f"nats://127.0.0.1:{free_port()}", source="test", **options)


def _units_left(logs: list[dict[str, object]]) -> object:
    return next((line["units"] for line in logs if line["event"] == "progress left unsent at shutdown"), 0)


@pytest.mark.parametrize(
    ("done", "failed", "is_last"), [(9, 0, False), (10, 0, True), (7, 3, True), (0, 10, True), (7, 2, False)]
)
def test_a_report_is_the_last_of_its_unit_when_nothing_is_left(done: int, failed: int, *, is_last: bool) -> None:
    assert _report("shard-0", done, failed=failed).is_last == is_last


async def test_reports_of_a_unit_replace_each_other_while_nats_is_away() -> None:
    with capture_logs() as logs:
        async with _publisher() as publisher:
            for done in range(1000):
                publisher.report(_report("shard-0", done % 10))
                publisher.report(_report("shard-1", done % 10))
    assert _units_left(list(map(dict, logs))) == 2


async def test_no_more_units_wait_than_the_bound_and_dropping_is_said() -> None:
    with capture_logs() as logs:
        async with _publisher(max_units=5) as publisher:
            for ordinal in range(2000):
                publisher.report(_report(f"shard-{ordinal}", 1))
    assert _units_left(list(map(dict, logs))) == 5
    dropped = [line["dropped"] for line in logs if "dropped" in line]
    assert dropped == [1, 1000]


async def test_reports_that_nobody_could_send_are_taken_too() -> None:
    async with _publisher() as publisher:
        publisher.report(_report("", -1, total=-5))
        publisher.report(_report("x" * 10**6, 2**70))


async def test_nothing_is_said_at_the_end_where_nothing_waits() -> None:
    with capture_logs() as logs:
        async with _publisher():
            await asyncio.sleep(0)
    assert not [line for line in logs if "shutdown" in line["event"]]


async def test_an_error_in_the_work_passes_through() -> None:
    with pytest.raises(ValueError, match="the work's own"):
        async with _publisher() as publisher:
            publisher.report(_report("shard-0", 1))
            raise ValueError("the work's own")


async def test_waiting_for_nats_can_be_cancelled_and_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    for turns in range(20):
        connecting = asyncio.create_task(connect_nats(f"nats://127.0.0.1:{free_port()}", name="test"))
        for _ in range(turns):
            await asyncio.sleep(0)
        connecting.cancel()
        await asyncio.wait([connecting])
        assert connecting.cancelled()
    assert asyncio.all_tasks() == before


async def test_a_server_that_is_no_nats_is_waited_for_like_one_that_is_away() -> None:
    async def talk_nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SMTP ready\r\n")
        await writer.drain()
        heard.set()
        writer.close()
        await writer.wait_closed()

    heard = asyncio.Event()
    async with await asyncio.start_server(talk_nonsense, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connecting = asyncio.create_task(connect_nats(f"nats://127.0.0.1:{port}", name="test"))
        await heard.wait()
        connecting.cancel()
        await asyncio.wait([connecting])
        assert connecting.cancelled()


async def test_the_first_failure_to_connect_is_logged_as_a_warning() -> None:
    with capture_logs() as logs:
        connecting = asyncio.create_task(connect_nats(f"nats://127.0.0.1:{free_port()}", name="test"))
        async with asyncio.timeout(30):
            while True:
                if logs:
                    break
                await asyncio.sleep(0.01)
        connecting.cancel()
        await asyncio.wait([connecting])
    assert logs[0]["log_level"] == "warning"
