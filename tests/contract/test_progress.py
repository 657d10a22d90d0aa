"""The unified progress over REST: one answer, the stream of changes, and the older form."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.real_servers import wait_for
from tests.support.running_gateway import Gateway, read_events
from triptych_gateway.api.routes.progress import read_event_id

SESSIONS = "/api/v1/training/sessions"
UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
STATS_KEYS = {"current", "total", "percentage", "etaSeconds", "imagesPerMinute", "unique", "skipped"}
PHASE_KEYS = {
    *("name", "status", "progress", "startedAt", "completedAt"),
    *("weight", "failed", "error", "stats", "stage", "model", "run", "elapsedSeconds"),
}
OVERALL_KEYS = {
    *("percentage", "etaSeconds", "currentPhase"),
    *("startedAt", "elapsedSeconds", "etaLowSeconds", "etaHighSeconds", "etaConfidence", "weighting", "stall"),
}


def unified(client: httpx.Client, session_id: int) -> dict[str, Any]:
    answer = client.get(f"{SESSIONS}/{session_id}/progress-unified")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def stream(client: httpx.Client, session_id: int, last_event_id: str | None = None) -> Any:
    headers = {"last-event-id": last_event_id} if last_event_id is not None else {}
    return client.stream("GET", f"{SESSIONS}/{session_id}/progress-unified/stream", headers=headers)


def test_the_snapshot_has_the_contracts_keys(client: httpx.Client, gateway: Gateway) -> None:
    session_id = gateway.create(client)

    body = unified(client, session_id)

    assert body.keys() == {
        *("sessionId", "overallStatus", "overallProgress", "phases"),
        *("revision", "updatedAt", "stale"),
    }
    assert (body["sessionId"], body["overallStatus"]) == (session_id, "pending")
    assert body["overallProgress"].keys() == OVERALL_KEYS
    assert (body["overallProgress"]["percentage"], body["overallProgress"]["currentPhase"]) == (0, "training")
    assert body["phases"].keys() == {"training", "faceDetection", "clustering", "face_detection"}
    assert body["phases"]["face_detection"] == body["phases"]["faceDetection"]
    weights = {}
    for phase in body["phases"].values():
        assert phase.keys() == PHASE_KEYS
        assert phase["progress"].keys() == STATS_KEYS
        assert phase["status"] == "pending"
        weights[phase["name"]] = phase["weight"]
    assert weights == {"training": 0.30, "face_detection": 0.65, "clustering": 0.05}
    assert UTC.fullmatch(body["updatedAt"])
    assert isinstance(body["revision"], int)
    assert body["revision"] < 2**53, "a number of JavaScript holds it"


def test_a_session_of_old_without_later_phases_is_shown_as_it_was(
    client: httpx.Client, gateway: Gateway, alter: Callable[..., None]
) -> None:
    session_id = gateway.create(client)
    alter("DELETE FROM runs WHERE session_id = :id AND phase <> 'training'", id=session_id)
    alter(
        "UPDATE runs SET status = 'completed', total = 4, done = 3, failed = 1, completed_at = now() "
        "WHERE session_id = :id",
        id=session_id,
    )

    body = unified(client, session_id)

    assert body["phases"]["training"]["status"] == "completed"
    assert body["phases"]["training"]["progress"]["percentage"] == 100
    assert [body["phases"][name]["status"] for name in ("faceDetection", "clustering")] == ["pending", "pending"]
    assert (body["overallProgress"]["percentage"], body["overallProgress"]["currentPhase"]) == (30, "face_detection")


def test_a_session_without_photos_is_completed_at_once_whoever_is_away(
    client: httpx.Client, gateway: Gateway, folder: Path
) -> None:
    session_id = gateway.create(client, folder)
    assert client.post(f"{SESSIONS}/{session_id}/start").json()["status"] == "running"

    wait_for(lambda: unified(client, session_id)["overallStatus"] == "completed", "the session is completed")

    body = unified(client, session_id)
    assert (body["overallProgress"]["percentage"], body["overallProgress"]["currentPhase"]) == (100, "completed")
    assert body["overallProgress"]["etaSeconds"] == 0
    for phase in body["phases"].values():
        stats = phase["progress"]
        assert (phase["status"], stats["current"], stats["total"], stats["percentage"]) == ("completed", 0, 0, 100)
        assert UTC.fullmatch(phase["completedAt"])


def test_the_older_progress_is_the_training_phase(client: httpx.Client, gateway: Gateway) -> None:
    session_id = gateway.create(client)

    body = client.get(f"{SESSIONS}/{session_id}/progress").json()

    assert body.keys() == {"sessionId", "status", "progress", "jobsSummary"}
    assert body["progress"].keys() == STATS_KEYS
    assert body["jobsSummary"] == dict.fromkeys(
        ("pending", "running", "completed", "failed", "cancelled", "skipped"), 0
    )


def test_the_stream_begins_with_the_whole_snapshot_and_says_each_change(
    client: httpx.Client, gateway: Gateway, alter: Callable[..., None]
) -> None:
    session_id = gateway.create(client)

    with stream(client, session_id) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-cache"
        events = read_events(answer.iter_lines())
        first = next(events)
        assert (first["event"], json.loads(first["data"])["overallStatus"]) == ("progress", "pending")
        assert json.loads(first["data"]).keys() == unified(client, session_id).keys()
        assert first["id"] == str(json.loads(first["data"])["revision"])

        client.post(f"{SESSIONS}/{session_id}/start")
        second = next(event for event in events if "data" in event)
        assert json.loads(second["data"])["overallStatus"] == "running"
        assert int(second["id"]) > int(first["id"])

        alter(
            "UPDATE sessions SET status = 'cancelled', updated_at = clock_timestamp(), "
            "lifecycle_step = lifecycle_step + 1 WHERE id = :id",
            id=session_id,
        )
        rest = [event for event in events if "data" in event]
    assert (rest[-1]["event"], json.loads(rest[-1]["data"])["overallStatus"]) == ("error", "cancelled")
    assert [event["event"] for event in rest[:-1]] == ["progress"] * (len(rest) - 1)


@pytest.mark.parametrize(("status", "name"), [("completed", "complete"), ("failed", "error"), ("cancelled", "error")])
def test_the_stream_of_a_session_that_is_over_ends_and_tells_its_reader_so(
    client: httpx.Client, gateway: Gateway, alter: Callable[..., None], status: str, name: str
) -> None:
    session_id = gateway.create(client)
    alter(
        "UPDATE sessions SET status = :status, updated_at = clock_timestamp() WHERE id = :id",
        status=status,
        id=session_id,
    )

    with stream(client, session_id) as answer:
        events = list(read_events(answer.iter_lines()))

    assert [event["event"] for event in events] == [name]
    with stream(client, session_id, events[0]["id"]) as again:
        assert (again.status_code, again.read()) == (204, b"")
    with stream(client, session_id, str(int(events[0]["id"]) - 1)) as behind:
        assert [event["id"] for event in read_events(behind.iter_lines())] == [events[0]["id"]]


@pytest.mark.parametrize("last", ["", "nonsense", "-1", "9" * 30, "9" * 5000, "1e3", "\u00b2", "0x10"])
def test_a_last_event_id_that_was_never_sent_counts_as_none(
    client: httpx.Client, gateway: Gateway, alter: Callable[..., None], last: str
) -> None:
    session_id = gateway.create(client)
    alter("UPDATE sessions SET status = 'completed', updated_at = clock_timestamp() WHERE id = :id", id=session_id)

    with client.stream(
        "GET",
        f"{SESSIONS}/{session_id}/progress-unified/stream",
        headers=[(b"last-event-id", last.encode("latin-1"))],
    ) as answer:
        assert answer.status_code == 200
        assert len(list(read_events(answer.iter_lines()))) == 1
    assert read_event_id(last) == 0


def test_the_stream_of_an_unknown_session_is_404_as_one_object(client: httpx.Client) -> None:
    with stream(client, 2**62) as answer:
        assert answer.status_code == 404
        assert json.loads(answer.read())["error"]["code"] == "not_found"


def test_a_session_moves_on_the_stream_while_the_progress_service_is_away(
    client: httpx.Client, gateway: Gateway, folder: Path, alter: Callable[..., None]
) -> None:
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(b"x")
    session_id = gateway.create(client, folder)
    client.post(f"{SESSIONS}/{session_id}/start")

    wait_for(lambda: unified(client, session_id)["phases"]["training"]["progress"]["total"] == 2, "two photos")
    wait_for(lambda: bool(unified(client, session_id)["stale"]), "the answer says that the progress service is away")
    body = unified(client, session_id)

    assert body["overallStatus"] == "running"
    assert body["overallProgress"]["etaSeconds"] is None
    alter("UPDATE sessions SET status = 'cancelled', updated_at = clock_timestamp() WHERE id = :id", id=session_id)
