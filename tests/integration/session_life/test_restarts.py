"""Restarting a phase of a finished session: what is shown meanwhile, afterwards, and where the restart fails."""

from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.scripted_stack import (
    HELD_AT,
    NEVER,
    PHASE_KEYS,
    PHASES,
    PHOTOS,
    UNDER_WAY,
    Stack,
    Watch,
    overall_of,
    phases_of,
)

BUTTONS = {"training": "restart-training", "face_detection": "restart-faces", "clustering": "restart-clustering"}
WHOLE = {"restart-training": {"failed_only": False}}
BEFORE = {"training": 0.0, "face_detection": 30.0, "clustering": 95.0}


@pytest.fixture
def session_id(stack: Stack, tmp_path: Path) -> int:
    """A completed session."""
    created = stack.create(tmp_path)
    stack.start(created)
    Watch(stack, created).until("completed")
    for worker in (stack.worker(phase) for phase in PHASES):
        worker.calls.clear()
        worker.worked = 0
    return created


def faces_shown(stack: Stack, session_id: int) -> set[int]:
    """The ids of all faces that are shown in groups."""
    page = stack.client.get("/api/v1/faces/clusters", params={"session_id": session_id}).json()
    groups = [stack.client.get(f"/api/v1/faces/clusters/{group['id']}").json() for group in page["items"]]
    return {face["id"] for group in groups for face in group["faces"]}


@pytest.mark.parametrize("phase", PHASES)
def test_the_restarted_phase_runs_those_before_stay_and_those_after_wait(
    phase: str, stack: Stack, session_id: int
) -> None:
    stack.worker(phase).photos_of_work = 0
    button = BUTTONS[phase]

    answer = stack.press(session_id, button, **WHOLE.get(button, {}))
    watch = Watch(stack, session_id)
    at_once = watch.look()
    under_way = watch.until_phase(phase, UNDER_WAY[phase])
    again = stack.press(session_id, button)

    body = answer.json()
    assert answer.status_code == 200
    assert (body["sessionId"], body["status"]) == (session_id, "running")
    assert body["cleanupStats"] == body["cleanup_stats"]
    assert body["cleanupStats"]["operation"] == button.replace("-", "_")
    assert (body["cleanupStats"]["session_id"], body["cleanupStats"]["items_reset"]) == (session_id, PHOTOS)
    for shown in (at_once, under_way):
        assert overall_of(shown) == ("running", BEFORE[phase], phase)
        statuses = [shown["phases"][PHASE_KEYS[one]]["status"] for one in PHASES]
        place = PHASES.index(phase)
        assert statuses[:place] == ["completed"] * place
        assert statuses[place + 1 :] == ["pending"] * (2 - place)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "not_allowed_now")
    assert again.json()["error"]["details"]["allowed"] == ["pause", "cancel"]

    stack.worker(phase).photos_of_work = NEVER
    last = watch.until("completed")

    assert watch.percentages() == sorted(watch.percentages())
    assert phases_of(last) == [("completed", PHOTOS, PHOTOS)] * 3
    worked = {one: stack.worker(one).worked for one in ("training", "face_detection")}
    assert worked == {one: PHOTOS if one == phase else 0 for one in worked}


def test_the_old_faces_are_shown_until_the_new_ones_are_grouped(stack: Stack, session_id: int) -> None:
    before = faces_shown(stack, session_id)
    stack.worker("clustering").photos_of_work = 0

    stack.press(session_id, "restart-faces")
    watch = Watch(stack, session_id)
    watch.until_phase("clustering", "running")
    meanwhile = faces_shown(stack, session_id)
    stack.worker("clustering").photos_of_work = NEVER
    last = watch.until("completed")
    after = faces_shown(stack, session_id)

    assert meanwhile == before
    assert len(after) == len(before) == PHOTOS
    assert not after & before
    assert last["phases"]["faceDetection"]["stats"]["facesDetected"] == PHOTOS


def test_a_restart_counts_the_faces_it_finds_and_not_those_it_replaces(stack: Stack, session_id: int) -> None:
    worker = stack.worker("face_detection")
    worker.photos_of_work = 0

    stack.press(session_id, "restart-faces")
    watch = Watch(stack, session_id)
    begun = watch.until_phase("face_detection", "processing")
    worker.photos_of_work = NEVER
    watch.until("completed")

    assert begun["phases"]["faceDetection"]["stats"]["facesDetected"] == 0
    detected = [shown["phases"]["faceDetection"]["stats"]["facesDetected"] for shown in watch.seen]
    assert (detected, detected[-1]) == (sorted(detected), PHOTOS)


@pytest.mark.parametrize("fails", ["face_detection", "clustering"])
def test_a_failed_restart_leaves_the_old_results_and_start_goes_on_with_the_new_ones(
    fails: str, stack: Stack, session_id: int
) -> None:
    before = faces_shown(stack, session_id)
    worker = stack.worker(fails)
    worker.trouble = grpc.StatusCode.INVALID_ARGUMENT

    stack.press(session_id, "restart-faces")
    watch = Watch(stack, session_id)
    failed = watch.until("failed")

    assert overall_of(failed)[2] == fails
    assert faces_shown(stack, session_id) == before

    worker.trouble = None
    stack.start(session_id)
    Watch(stack, session_id).until("completed")
    after = faces_shown(stack, session_id)
    assert len(after) == PHOTOS
    assert not after & before
    assert stack.worker("face_detection").worked == PHOTOS


def test_a_restart_goes_on_after_a_pause_and_after_a_kill(stack: Stack, session_id: int) -> None:
    worker = stack.worker("training")
    worker.photos_of_work = HELD_AT
    stack.press(session_id, "restart-training", failed_only=False)
    watch = Watch(stack, session_id)
    watch.until_phase("training", "running", current=HELD_AT)

    stack.press(session_id, "pause")
    worker.photos_of_work = NEVER
    stack.press(session_id, "resume")
    last = watch.until("completed")

    assert watch.percentages() == sorted(watch.percentages())
    assert phases_of(last)[0] == ("completed", PHOTOS, PHOTOS)
    assert worker.worked == PHOTOS


def test_only_what_failed_is_done_again_and_the_bar_starts_from_what_is_done(stack: Stack, tmp_path: Path) -> None:
    bad = 3
    worker = stack.worker("training")
    worker.is_bad = lambda path: int(path[-8:-4]) < bad
    session_id = stack.create(tmp_path)
    stack.start(session_id)
    first = Watch(stack, session_id).until("completed")
    worker.is_bad, worker.worked, worker.photos_of_work = lambda _: False, 0, 0

    answer = stack.press(session_id, "restart-training").json()
    watch = Watch(stack, session_id)
    at_once = watch.look()
    worker.photos_of_work = NEVER
    last = watch.until("completed")

    assert _failed(first) == bad
    assert answer["cleanupStats"]["items_reset"] == bad
    assert answer["cleanupStats"]["items_preserved"] == PHOTOS - bad
    assert at_once["phases"]["training"]["progress"]["current"] == PHOTOS - bad
    assert watch.percentages() == sorted(watch.percentages())
    assert worker.worked == bad
    assert _failed(last) == 0


def _failed(body: dict[str, Any]) -> int:
    failed: int = body["phases"]["training"]["failed"]
    return failed


def test_who_a_new_clustering_merged_is_told(stack: Stack, tmp_path: Path) -> None:
    """Two groups that people gave names are one in the next clustering: the larger one's name stays."""
    cluster = stack.worker("clustering")
    cluster.groups = 2
    session_id = stack.create(tmp_path)
    stack.start(session_id)
    Watch(stack, session_id).until("completed")
    changed = f"/api/v1/training/sessions/{session_id}/changed-persons"
    assert stack.client.get(changed).json()["items"] == []
    page = stack.client.get("/api/v1/faces/persons", params={"session_id": session_id}).json()
    people = sorted(page["items"], key=lambda one: (-one["faceCount"], one["id"]))
    for person, name in zip(people, ("Ada", "Ben"), strict=True):
        stack.client.patch(f"/api/v1/faces/persons/{person['id']}", json={"name": name}).raise_for_status()

    cluster.groups = 1
    stack.press(session_id, "restart-clustering").raise_for_status()
    Watch(stack, session_id).until("completed")

    ada, ben = people
    assert stack.client.get(changed).json()["items"] == [
        {
            "kind": "merged",
            "personId": ben["id"],
            "name": "Ben",
            "intoId": ada["id"],
            "intoName": "Ada",
            "faces": ben["faceCount"],
        }
    ]
