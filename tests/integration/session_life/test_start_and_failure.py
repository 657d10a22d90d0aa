"""What is shown of a session that is started or that fails."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import grpc
import pytest

from tests.support.real_servers import wait_for
from tests.support.running_gateway import read_events
from tests.support.scripted_stack import (
    HELD_AT,
    NEVER,
    PHASE_KEYS,
    PHASES,
    PHOTOS,
    SERVICES,
    SESSIONS,
    UNDER_WAY,
    Stack,
    Watch,
    overall_of,
    phases_of,
)
from triptych.v1 import progress_event_pb2
from triptych_common.progress.events import PHASE_NAMES


def test_a_session_is_running_from_the_answer_to_start_until_its_end(stack: Stack, tmp_path: Path) -> None:
    for phase in PHASES:
        stack.worker(phase).photos_of_work = 0
    session_id = stack.create(tmp_path)
    watch = Watch(stack, session_id)
    assert overall_of(stack.shown(session_id)) == ("pending", 0, "training")

    stack.start(session_id)
    first = watch.look()
    training = watch.until_phase("training", "running")
    stack.worker("training").photos_of_work = NEVER
    face_detection = watch.until_phase("face_detection", "processing")
    stack.worker("face_detection").photos_of_work = NEVER
    clustering = watch.until_phase("clustering", "running")
    stack.worker("clustering").photos_of_work = NEVER
    last = watch.until("completed")

    assert overall_of(first) == overall_of(training) == ("running", 0, "training")
    assert {phase["status"] for phase in first["phases"].values()} <= {"pending", "running"}
    assert phases_of(training) == [("running", 0, PHOTOS), ("pending", 0, PHOTOS), ("pending", 0, 0)]
    assert training["phases"]["training"]["startedAt"] is not None
    assert overall_of(face_detection) == ("running", 30, "face_detection")
    assert phases_of(face_detection)[:2] == [("completed", PHOTOS, PHOTOS), ("processing", 0, PHOTOS)]
    assert overall_of(clustering) == ("running", 95, "clustering")
    assert phases_of(clustering)[1:] == [("completed", PHOTOS, PHOTOS), ("running", 0, PHOTOS)]
    assert overall_of(last) == ("completed", 100, "completed")
    assert phases_of(last) == [("completed", PHOTOS, PHOTOS)] * 3
    assert {body["overallStatus"] for body in watch.seen[:-1]} == {"running"}
    assert watch.percentages() == sorted(watch.percentages())
    assert max(watch.percentages()[:-1]) < 100


def test_photos_without_a_face_end_at_a_hundred(stack: Stack, tmp_path: Path) -> None:
    stack.worker("face_detection").faces_per_photo = 0
    session_id = stack.create(tmp_path)
    stack.start(session_id)

    last = Watch(stack, session_id).until("completed")

    assert overall_of(last) == ("completed", 100, "completed")
    assert phases_of(last) == [("completed", PHOTOS, PHOTOS)] * 2 + [("completed", 0, 0)]
    assert last["phases"]["clustering"]["progress"]["percentage"] == 100
    assert not any(call.is_work for call in stack.worker("clustering").calls), "there is nothing to group"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """How a phase fails, and what is then to be shown."""

    phase: str
    how: Literal["refuses", "dies and then refuses", "fails on every item"]
    code: str
    percentage: float
    current: int
    failed: int = 0

    def __str__(self) -> str:
        return f"{SERVICES[self.phase]} {self.how}"


FAILURES: Final = (
    Failure(phase="training", how="refuses", code="service_refused", percentage=0, current=0),
    Failure(phase="training", how="dies and then refuses", code="service_refused", percentage=7.5, current=HELD_AT),
    Failure(
        phase="training",
        how="fails on every item",
        code="every_photo_failed",
        percentage=30,
        current=PHOTOS,
        failed=PHOTOS,
    ),
    Failure(
        phase="face_detection", how="dies and then refuses", code="service_refused", percentage=46.2, current=HELD_AT
    ),
    Failure(
        phase="face_detection",
        how="fails on every item",
        code="every_photo_failed",
        percentage=95,
        current=PHOTOS,
        failed=PHOTOS,
    ),
    Failure(phase="clustering", how="refuses", code="clustering_failed", percentage=95, current=0),
)


@pytest.mark.parametrize("failure", FAILURES, ids=str)
def test_a_phase_that_fails_is_named_with_its_error_and_start_goes_on_from_what_is_done(
    failure: Failure, stack: Stack, tmp_path: Path
) -> None:
    session_id = stack.create(tmp_path)
    watch = Watch(stack, session_id)

    _bring_about(failure, stack, watch, session_id)
    failed = watch.until("failed")

    assert overall_of(failed) == ("failed", failure.percentage, failure.phase)
    assert watch.percentages() == sorted(watch.percentages())
    assert failed["overallProgress"]["etaSeconds"] is None
    place = PHASES.index(failure.phase)
    for phase in PHASES[:place]:
        assert failed["phases"][PHASE_KEYS[phase]]["status"] == "completed"
    for phase in PHASES[place + 1 :]:
        assert failed["phases"][PHASE_KEYS[phase]]["status"] == "pending"
    shown = failed["phases"][PHASE_KEYS[failure.phase]]
    assert (shown["status"], shown["progress"]["current"], shown["failed"]) == (
        *("failed", failure.current),
        failure.failed,
    )
    assert shown["error"]["code"] == failure.code
    assert shown["error"]["message"]
    assert [name for name, phase in failed["phases"].items() if phase["error"]] == [
        name for name, phase in failed["phases"].items() if phase["name"] == failure.phase
    ]
    _assert_told_to_all(stack, session_id, failure)

    stack.worker(failure.phase).trouble = None
    stack.worker(failure.phase).is_bad = lambda _: False
    stack.start(session_id)
    again = Watch(stack, session_id)
    at_once = again.look()
    last = again.until("completed")

    done = failure.current - failure.failed
    now = at_once["phases"][PHASE_KEYS[failure.phase]]
    assert at_once["overallStatus"] == "running"
    assert (now["run"], now["error"]) == (2, None)
    assert now["progress"]["current"] >= done
    assert again.percentages() == sorted(again.percentages())
    assert overall_of(last) == ("completed", 100, "completed")
    assert {phase["failed"] for phase in last["phases"].values()} == {0}
    if failure.phase != "clustering":
        assert last["phases"][PHASE_KEYS[failure.phase]]["progress"]["skipped"] == done, "nothing is done twice"


def _bring_about(failure: Failure, stack: Stack, watch: Watch, session_id: int) -> None:
    worker = stack.worker(failure.phase)
    if failure.how == "fails on every item":
        worker.is_bad = lambda _: True
    elif failure.how == "refuses":
        worker.trouble = grpc.StatusCode.UNKNOWN
    else:
        worker.photos_of_work = HELD_AT
    stack.start(session_id)
    if failure.how == "dies and then refuses":
        watch.until_phase(failure.phase, UNDER_WAY[failure.phase], current=HELD_AT)
        worker.close()
        worker.photos_of_work, worker.trouble = NEVER, grpc.StatusCode.INVALID_ARGUMENT
        worker.open()


def _assert_told_to_all(stack: Stack, session_id: int, failure: Failure) -> None:
    """The aggregator knows it too, the stream ends with it, and each photo that failed is named."""

    def is_known() -> bool:
        said = stack.progress.get(session_id)
        phases = [one for one in said.phases if PHASE_NAMES[one.phase] == failure.phase] if said is not None else []
        return [(one.state, one.error.code) for one in phases] == [(progress_event_pb2.RUN_STATE_FAILED, failure.code)]

    wait_for(is_known, "the aggregator knows it")
    with stack.client.stream("GET", f"{SESSIONS}/{session_id}/progress-unified/stream") as answer:
        assert [event["event"] for event in read_events(answer.iter_lines())] == ["error"]
    jobs = stack.client.get(f"{SESSIONS}/{session_id}/jobs", params={"status": "failed"}).json()
    assert jobs["total"] == failure.failed
    assert {job["errorMessage"] for job in jobs["items"]} <= {"The picture is damaged."}
