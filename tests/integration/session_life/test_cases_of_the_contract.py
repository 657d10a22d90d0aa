"""The contract's table of cases, each row a test of its name, through the whole stack.

The row of a process that is killed is in `tests/resilience/test_killed_gateways.py`.
"""

import asyncio
import random
from pathlib import Path

import grpc
import pytest
from sqlalchemy import text

from tests.support.progress_events import life, publish
from tests.support.real_servers import run_apart, wait_for
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
from triptych_common.progress.events import PHASES_BY_NAME
from triptych_gateway.catalog.database import create_engine

WEIGHTS = {"training": 0.30, "face_detection": 0.65, "clustering": 0.05}


def completed(stack: Stack, folder: Path) -> tuple[int, Watch]:
    """A session that ran to its end, and what was seen of it."""
    session_id = stack.create(folder)
    stack.start(session_id)
    watch = Watch(stack, session_id)
    watch.until("completed")
    return session_id, watch


def test_clustering_raises(stack: Stack, tmp_path: Path) -> None:
    stack.worker("clustering").trouble = grpc.StatusCode.UNKNOWN
    session_id = stack.create(tmp_path)
    stack.start(session_id)

    watch = Watch(stack, session_id)
    failed = watch.until("failed")

    assert failed["phases"]["clustering"]["status"] == "failed"
    assert failed["phases"]["clustering"]["error"]["code"] == "clustering_failed"
    assert max(watch.percentages()) < 100


def test_no_faces_found_in_any_photo(stack: Stack, tmp_path: Path) -> None:
    stack.worker("face_detection").faces_per_photo = 0

    _, watch = completed(stack, tmp_path)

    last = watch.seen[-1]
    assert overall_of(last) == ("completed", 100, "completed")
    assert phases_of(last)[2] == ("completed", 0, 0)
    assert last["phases"]["clustering"]["progress"]["percentage"] == 100


def test_zero_images_in_the_directory(stack: Stack, tmp_path: Path) -> None:
    session_id = stack.create(tmp_path, photos=0)
    stack.start(session_id)

    last = Watch(stack, session_id).until("completed")

    assert overall_of(last) == ("completed", 100, "completed")
    assert phases_of(last) == [("completed", 0, 0)] * 3
    assert not any(stack.worker(phase).calls for phase in PHASES), "there is nothing to ask them for"


def test_every_image_fails(stack: Stack, tmp_path: Path) -> None:
    stack.worker("training").is_bad = lambda _: True
    session_id = stack.create(tmp_path)
    stack.start(session_id)

    failed = Watch(stack, session_id).until("failed")

    assert phases_of(failed)[0] == ("failed", PHOTOS, PHOTOS)
    jobs = stack.client.get(f"{SESSIONS}/{session_id}/jobs", params={"status": "failed", "page_size": 100}).json()
    assert jobs["total"] == len({job["imagePath"] for job in jobs["items"]}) == PHOTOS
    assert all(job["errorMessage"] for job in jobs["items"])


def test_some_images_fail(stack: Stack, tmp_path: Path) -> None:
    stack.worker("training").is_bad = lambda path: path.endswith((b"/0003.jpg", b"/0007.jpg"))

    session_id, watch = completed(stack, tmp_path)

    last = watch.seen[-1]
    assert overall_of(last) == ("completed", 100, "completed")
    assert last["phases"]["training"]["failed"] == 2
    jobs = stack.client.get(f"{SESSIONS}/{session_id}/jobs", params={"status": "failed"}).json()["items"]
    assert sorted(Path(job["imagePath"]).name for job in jobs) == ["0003.jpg", "0007.jpg"]
    assert {(job["errorCode"], job["errorMessage"]) for job in jobs} == {("corrupt", "The picture is damaged.")}


def test_paused_then_resumed(stack: Stack, tmp_path: Path) -> None:
    stack.worker("training").photos_of_work = HELD_AT
    session_id = stack.create(tmp_path)
    stack.start(session_id)
    watch = Watch(stack, session_id)
    before = watch.until_phase("training", "running", current=HELD_AT)

    stack.press(session_id, "pause")
    paused = watch.look()
    stack.worker("training").photos_of_work = NEVER
    stack.press(session_id, "resume")
    resumed = watch.look()
    last = watch.until("completed")

    assert overall_of(paused) == ("paused", before["overallProgress"]["percentage"], "training")
    assert paused["overallProgress"]["etaSeconds"] is None
    assert resumed["overallStatus"] == "running"
    assert watch.percentages() == sorted(watch.percentages())
    assert phases_of(last)[0] == ("completed", PHOTOS, PHOTOS)


def test_failed_only_restart(stack: Stack, tmp_path: Path) -> None:
    stack.worker("training").is_bad = lambda path: path.endswith(b"/0003.jpg")
    session_id, _ = completed(stack, tmp_path)
    stack.worker("training").is_bad = lambda _: False
    stack.worker("training").photos_of_work = 0

    assert stack.press(session_id, "restart-training", failed_only=True).status_code == 200
    watch = Watch(stack, session_id)
    first = watch.look()
    stack.worker("training").photos_of_work = NEVER
    last = watch.until("completed")

    assert first["phases"]["training"]["progress"]["current"] == PHOTOS - 1
    assert watch.percentages() == sorted(watch.percentages())
    assert last["phases"]["training"]["failed"] == 0


@pytest.mark.parametrize("phase", PHASES)
def test_restart_of_a_phase_of_a_finished_session(phase: str, stack: Stack, tmp_path: Path) -> None:
    session_id, _ = completed(stack, tmp_path)
    stack.worker(phase).photos_of_work = stack.worker(phase).worked
    button = {"training": "restart-training", "face_detection": "restart-faces", "clustering": "restart-clustering"}

    stack.press(session_id, button[phase], **({"failed_only": False} if phase == "training" else {}))
    first = stack.shown(session_id)
    stack.worker(phase).photos_of_work = NEVER
    Watch(stack, session_id).until("completed")

    place = PHASES.index(phase)
    statuses = [first["phases"][PHASE_KEYS[one]]["status"] for one in PHASES]
    assert (first["overallStatus"], first["overallProgress"]["currentPhase"]) == ("running", phase)
    assert statuses[:place] == ["completed"] * place
    assert statuses[place] in ("pending", UNDER_WAY[phase])
    assert statuses[place + 1 :] == ["pending"] * (2 - place)


def test_two_runs_of_the_same_phase_for_one_session(stack: Stack, tmp_path: Path) -> None:
    session_id, _ = completed(stack, tmp_path)
    stack.worker("face_detection").photos_of_work = stack.worker("face_detection").worked

    first = stack.press(session_id, "restart-faces")
    second = stack.press(session_id, "restart-faces")
    other = stack.press(session_id, "restart-training")

    assert (first.status_code, second.status_code, other.status_code) == (200, 409, 409)
    assert second.json()["error"]["code"] == "not_allowed_now"
    stack.worker("face_detection").photos_of_work = NEVER
    Watch(stack, session_id).until("completed")


def test_an_old_session_that_has_no_face_detection_record(stack: Stack, tmp_path: Path) -> None:
    session_id, _ = completed(stack, tmp_path)

    async def make_old() -> None:
        engine = create_engine(stack.servers.database_url)
        async with engine.begin() as connection:
            await connection.execute(text("DELETE FROM runs WHERE phase <> 'training'"))
            await connection.execute(text("UPDATE sessions SET updated_at = clock_timestamp()"))
        await engine.dispose()

    run_apart(make_old())
    watch = Watch(stack, session_id)
    watch.until_phase("face_detection", "pending")
    old = watch.look()

    assert phases_of(old) == [("completed", PHOTOS, PHOTOS), ("pending", 0, 0), ("pending", 0, 0)]
    assert old["overallStatus"] == "completed"


def test_late_duplicated_or_re_ordered_progress_events(stack: Stack, tmp_path: Path) -> None:
    session_id, watch = completed(stack, tmp_path)
    before = watch.seen[-1]
    late = [
        progress_event_pb2.ProgressEvent(
            session_id=session_id,
            phase=PHASES_BY_NAME[phase],
            run=1,
            source=SERVICES[phase],
            unit="clustering" if phase == "clustering" else "shard-0",
            counts=progress_event_pb2.UnitCounts(done=done, total=PHOTOS),
        )
        for phase in PHASES
        for done in (*range(0, PHOTOS, 3), *range(0, PHOTOS, 7))
    ]
    random.Random(7).shuffle(late)

    # The stream keeps the order: whoever knows of a session after them has folded them.
    marker = 10**9
    asyncio.run(publish(stack.servers.nats_url, *late, life(session_id=marker)))
    wait_for(lambda: stack.progress.get(marker) is not None, "they are folded")
    after = stack.shown(session_id)

    assert after["phases"].keys() == before["phases"].keys()
    assert phases_of(after) == phases_of(before) == [("completed", PHOTOS, PHOTOS)] * 3
    assert overall_of(after) == overall_of(before) == ("completed", 100, "completed")
