"""A gateway is killed in any phase, alone or with its aggregator: those that come after go on from where it was."""

import asyncio
from pathlib import Path

import pytest

from tests.support.progress_events import publish
from tests.support.scripted_stack import (
    HELD_AT,
    NEVER,
    PHASE_KEYS,
    PHASES,
    PHOTOS,
    SERVICES,
    UNDER_WAY,
    Servers,
    Watch,
    phases_of,
)
from triptych.v1 import progress_event_pb2
from triptych_common.progress.events import PHASES_BY_NAME


@pytest.mark.parametrize("phase", PHASES)
def test_process_killed_in_any_phase_and_started_again(phase: str, servers: Servers, tmp_path: Path) -> None:
    with servers.stack() as first:
        worker = first.worker(phase)
        held_at = 0 if phase == "clustering" else HELD_AT
        worker.photos_of_work = held_at
        session_id = first.create(tmp_path)
        first.start(session_id)
        before = Watch(first, session_id)
        before.until_phase(phase, UNDER_WAY[phase], current=held_at)
        first.gateway.process.kill()

    with servers.stack() as second:
        after = Watch(second, session_id, seen=before.seen)
        after.look()
        worker.photos_of_work = NEVER
        last = after.until("completed")

    assert after.percentages() == sorted(after.percentages())
    assert phases_of(last) == [("completed", PHOTOS, PHOTOS)] * 3
    if phase != "clustering":
        assert worker.worked == PHOTOS, "nothing is done twice"


@pytest.mark.parametrize("phase", ["training", "face_detection"])
def test_gateway_and_aggregator_killed_at_once_go_on_and_the_bar_stands_where_workers_had_brought_it(
    phase: str, servers: Servers, tmp_path: Path
) -> None:
    """Workers had reported more than was stored: those who come after them must not show less."""
    reported = HELD_AT + 2
    with servers.stack() as first:
        worker = first.worker(phase)
        worker.photos_of_work = HELD_AT
        session_id = first.create(tmp_path)
        first.start(session_id)
        before = Watch(first, session_id)
        before.until_phase(phase, UNDER_WAY[phase], current=HELD_AT)
        asyncio.run(publish(servers.nats_url, _report(session_id, phase, done=reported)))
        before.until_phase(phase, UNDER_WAY[phase], current=reported)
        first.gateway.process.kill()

    with servers.stack() as second:
        after = Watch(second, session_id, seen=before.seen)
        at_once = after.look()
        worker.photos_of_work = NEVER
        last = after.until("completed")

    assert (at_once["overallStatus"], at_once["overallProgress"]["currentPhase"]) == ("running", phase)
    assert at_once["phases"][PHASE_KEYS[phase]]["progress"]["current"] == reported
    assert after.percentages() == sorted(after.percentages())
    assert {body["overallStatus"] for body in after.seen[:-1]} == {"running"}
    assert phases_of(last) == [("completed", PHOTOS, PHOTOS)] * 3
    assert worker.worked == PHOTOS, "nothing that was stored is done twice"


def _report(session_id: int, phase: str, *, done: int) -> progress_event_pb2.ProgressEvent:
    """What a worker says of the only shard."""
    return progress_event_pb2.ProgressEvent(
        session_id=session_id,
        phase=PHASES_BY_NAME[phase],
        run=1,
        source=SERVICES[phase],
        unit="shard-0",
        counts=progress_event_pb2.UnitCounts(done=done, total=PHOTOS),
    )
