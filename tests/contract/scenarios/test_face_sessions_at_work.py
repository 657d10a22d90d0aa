"""Face sessions at work, by the whole stack: live numbers, the end, and the same id after a restart."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.running_gateway import read_events
from tests.support.scripted_stack import HELD_AT, NEVER, PHOTOS, Stack, Watch

FACE_SESSIONS = "/api/v1/faces/sessions"


def face_session_of(stack: Stack, session_id: int) -> dict[str, Any]:
    """The face session of a training session."""
    page = stack.client.get(FACE_SESSIONS, params={"training_session_id": session_id}).raise_for_status().json()
    [face_session] = page["items"]
    found: dict[str, Any] = face_session
    return found


@contextmanager
def following(stack: Stack, face_session_id: int) -> Iterator[Iterator[dict[str, Any]]]:
    """The events of its stream, with their bodies; heartbeats are left out."""
    with stack.client.stream("GET", f"{FACE_SESSIONS}/{face_session_id}/events") as answer:
        assert answer.status_code == 200
        events = (event for event in read_events(answer.iter_lines()) if "data" in event)
        yield ({**event, "body": json.loads(event["data"])} for event in events)


def test_the_stream_follows_the_phase_to_its_end_and_no_further(stack: Stack, tmp_path: Path) -> None:
    detector, clusterer = stack.worker("face_detection"), stack.worker("clustering")
    detector.photos_of_work, clusterer.photos_of_work = HELD_AT, 0
    session_id = stack.create(tmp_path)
    stack.start(session_id)
    watch = Watch(stack, session_id)
    watch.until_phase("face_detection", "processing", current=HELD_AT)
    face_session_id = face_session_of(stack, session_id)["id"]

    with following(stack, face_session_id) as events:
        first = next(events)
        assert (first["event"], first["body"]["status"]) == ("progress", "processing")
        assert (first["body"]["processedImages"], first["body"]["totalImages"]) == (HELD_AT, PHOTOS)
        detector.photos_of_work = NEVER
        *_, last = events

    assert (last["event"], last["body"]["status"], last["body"]["progressPercent"]) == ("complete", "completed", 100.0)
    assert (last["body"]["facesDetected"], last["body"]["currentBatch"]) == (PHOTOS, last["body"]["totalBatches"])
    assert stack.shown(session_id)["overallStatus"] == "running", "clustering is still to come"
    again = stack.client.get(f"{FACE_SESSIONS}/{face_session_id}/events", headers={"last-event-id": last["id"]})
    assert again.status_code == 204

    clusterer.photos_of_work = NEVER
    watch.until("completed")
    after = face_session_of(stack, session_id)
    assert (after["facesAssigned"], after["facesAssignedToPersons"], after["clustersCreated"]) == (PHOTOS, PHOTOS, 1)
    assert stack.client.get(f"{FACE_SESSIONS}/{face_session_id}").json() == after


def test_a_restart_keeps_the_id_and_its_end_is_told_anew(stack: Stack, tmp_path: Path) -> None:
    session_id = stack.create(tmp_path)
    stack.start(session_id)
    watch = Watch(stack, session_id)
    watch.until("completed")
    face_session_id = face_session_of(stack, session_id)["id"]
    with following(stack, face_session_id) as events:
        [end] = events
    detector = stack.worker("face_detection")
    detector.worked, detector.photos_of_work = 0, HELD_AT

    stack.press(session_id, "restart-faces").raise_for_status()

    watch.until_phase("face_detection", "processing", current=HELD_AT)
    assert face_session_of(stack, session_id)["id"] == face_session_id
    with following(stack, face_session_id) as events:
        assert next(events)["body"]["processedImages"] == HELD_AT
        detector.photos_of_work = NEVER
        *_, end_again = events
    assert end_again["event"] == "complete"
    assert end_again["id"] != end["id"]


def test_cancelling_ends_the_stream_with_an_error(stack: Stack, tmp_path: Path) -> None:
    stack.worker("face_detection").photos_of_work = HELD_AT
    session_id = stack.create(tmp_path)
    stack.start(session_id)
    Watch(stack, session_id).until_phase("face_detection", "processing", current=HELD_AT)

    with following(stack, face_session_of(stack, session_id)["id"]) as events:
        assert next(events)["event"] == "progress"
        stack.press(session_id, "cancel").raise_for_status()
        *_, last = events

    assert (last["event"], last["body"]["status"]) == ("error", "cancelled")
    assert last["body"]["processedImages"] == HELD_AT
