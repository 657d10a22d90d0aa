"""Face sessions over REST while no service answers: shapes, statuses, pages and refusals, as the contract has them."""

import json

import httpx
import pytest

from tests.contract.conftest import Alter
from tests.support.running_gateway import Gateway, read_events

FACE_SESSIONS = "/api/v1/faces/sessions"
KEYS = {
    *("id", "trainingSessionId", "status", "totalImages", "processedImages", "failedImages", "facesDetected"),
    *("facesAssigned", "minConfidence", "minFaceSize", "batchSize", "lastError", "createdAt", "startedAt"),
    *("completedAt", "jobId", "facesAssignedToPersons", "clustersCreated", "suggestionsCreated", "currentBatch"),
    *("totalBatches", "progressPercent"),
}


def of_session(client: httpx.Client, session_id: int) -> list[dict[str, object]]:
    """The face sessions of a training session."""
    page = client.get(FACE_SESSIONS, params={"training_session_id": session_id}).raise_for_status().json()
    assert page["total"] == len(page["items"])
    found: list[dict[str, object]] = page["items"]
    return found


def stand(alter: Alter, session_id: int, *, session: str, faces: str) -> None:
    """Have a session and its face detection stand at 7 of 20 photos."""
    alter(
        """
        UPDATE runs SET status = :status, total = 20, skipped = 2, done = 4, failed = 1, found = 9, shard_size = 4,
            started_at = now(), error_code = CASE WHEN :status = 'failed' THEN 'service_failed' END,
            error_message = CASE WHEN :status = 'failed' THEN 'The service failed.' END
        WHERE session_id = :id AND phase = 'face_detection'""",
        status=faces,
        id=session_id,
    )
    alter(
        "UPDATE sessions SET status = :status, updated_at = clock_timestamp() WHERE id = :id",
        status=session,
        id=session_id,
    )


def test_a_face_session_is_the_phase_of_a_training_session_under_its_own_id(
    client: httpx.Client, gateway: Gateway
) -> None:
    session_id = gateway.create(client, config={"batchSize": 7})

    [face_session] = of_session(client, session_id)

    assert face_session.keys() == KEYS
    assert (face_session["trainingSessionId"], face_session["status"]) == (session_id, "pending")
    assert (face_session["batchSize"], face_session["progressPercent"]) == (7, 0.0)
    assert (face_session["currentBatch"], face_session["totalBatches"]) == (0, 0)
    unknown = ("minConfidence", "minFaceSize", "lastError", "startedAt", "completedAt", "jobId")
    assert [face_session[key] for key in unknown] == [None] * len(unknown)
    assert client.get(f"{FACE_SESSIONS}/{face_session['id']}").json() == face_session


@pytest.mark.parametrize(
    ("session", "faces"),
    [
        ("paused", "paused"),
        ("cancelled", "cancelled"),
        ("failed", "failed"),
        ("paused", "running"),
        ("paused", "completed"),
    ],
)
def test_its_numbers_are_those_of_the_phases_latest_run(
    client: httpx.Client, gateway: Gateway, alter: Alter, session: str, faces: str
) -> None:
    session_id = gateway.create(client)
    stand(alter, session_id, session=session, faces=faces)

    [face_session] = of_session(client, session_id)

    assert face_session["status"] == ("processing" if faces == "running" else faces)
    numbers = ("totalImages", "processedImages", "failedImages", "facesDetected", "progressPercent")
    assert [face_session[key] for key in numbers] == [20, 7, 1, 9, 35.0]
    assert [face_session[key] for key in ("batchSize", "currentBatch", "totalBatches")] == [4, 2, 5]
    assert face_session["lastError"] == ("The service failed." if faces == "failed" else None)
    assert face_session["startedAt"] is not None
    progress = client.get(f"/api/v1/training/sessions/{session_id}/progress-unified").json()
    assert progress["phases"]["faceDetection"]["progress"]["current"] == 7


def test_they_are_listed_newest_first_in_pages(client: httpx.Client, gateway: Gateway) -> None:
    session_ids = [gateway.create(client) for _ in range(3)]

    pages = [client.get(FACE_SESSIONS, params={"page": page, "page_size": 2}).json() for page in (1, 2)]

    assert [page.keys() for page in pages] == [{"items", "total", "page", "pageSize", "hasMore"}] * 2
    listed = [one["trainingSessionId"] for page in pages for one in page["items"]]
    assert listed[:3] == session_ids[::-1]
    last = -(-pages[0]["total"] // 2)
    tail = client.get(FACE_SESSIONS, params={"page": last, "page_size": 2}).json()
    assert len(tail["items"]) == pages[0]["total"] - 2 * (last - 1)
    assert not tail["hasMore"]
    assert client.get(FACE_SESSIONS, params={"page": 1_000_000}).json()["items"] == []


def test_an_old_session_without_the_phase_has_none(client: httpx.Client, gateway: Gateway, alter: Alter) -> None:
    session_id = gateway.create(client)
    alter("DELETE FROM runs WHERE session_id = :id AND phase <> 'training'", id=session_id)

    assert of_session(client, session_id) == []


def test_what_is_not_there_is_404_and_what_does_not_fit_is_422(client: httpx.Client, gateway: Gateway) -> None:
    session_id = gateway.create(client)
    [face_session] = of_session(client, session_id)
    for path in (
        f"{FACE_SESSIONS}/{2**62}",
        f"{FACE_SESSIONS}/{2**62}/events",
        # The run of another phase is no face session.
        f"{FACE_SESSIONS}/{int(str(face_session['id'])) + 1}",
        f"{FACE_SESSIONS}?training_session_id={2**62}",
    ):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), path
    for path in (f"{FACE_SESSIONS}/0", f"{FACE_SESSIONS}/x/events", f"{FACE_SESSIONS}?page=0", f"{FACE_SESSIONS}/%00"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request"), path


@pytest.mark.parametrize(
    ("session", "faces"),
    [
        ("paused", "completed"),
        ("failed", "failed"),
        ("cancelled", "cancelled"),
        # The session ended before this phase could begin.
        ("failed", "pending"),
    ],
)
def test_the_stream_of_a_phase_that_ended_tells_so_once_and_closes(
    client: httpx.Client, gateway: Gateway, alter: Alter, session: str, faces: str
) -> None:
    session_id = gateway.create(client)
    stand(alter, session_id, session=session, faces=faces)
    [face_session] = of_session(client, session_id)
    path = f"{FACE_SESSIONS}/{face_session['id']}/events"

    first = client.get(path)
    name = "complete" if faces == "completed" else "error"

    assert first.headers["content-type"].startswith("text/event-stream")
    [event] = read_events(iter(first.text.splitlines()))
    assert event["event"] == name
    assert json.loads(event["data"]) == face_session
    assert face_session["status"] == ("failed" if faces == "pending" else faces)
    # What changes in later phases makes it no other end of this one.
    alter("UPDATE sessions SET updated_at = clock_timestamp(), lifecycle_step = 9 WHERE id = :id", id=session_id)
    assert client.get(path, headers={"last-event-id": event["id"]}).status_code == 204
    behind = client.get(path, headers={"last-event-id": "1"})
    assert [one["event"] for one in read_events(iter(behind.text.splitlines()))] == [name]
