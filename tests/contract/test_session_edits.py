"""Changing and deleting sessions, and trying photos again, over REST."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.test_sessions import JOB_KEYS, SESSION_KEYS, make_photos, refused, wait_for_total
from tests.support.running_gateway import Gateway, read_events

SESSIONS = "/api/v1/training/sessions"
Alter = Callable[..., None]


def test_a_name_changes_whatever_the_session_does(client: httpx.Client, gateway: Gateway) -> None:
    session_id = gateway.create(client)
    before = client.get(f"{SESSIONS}/{session_id}").json()

    pending = client.patch(f"{SESSIONS}/{session_id}", json={"name": " Holidays "}).json()
    client.post(f"{SESSIONS}/{session_id}/start").raise_for_status()
    running = client.patch(f"{SESSIONS}/{session_id}", json={"name": "Journeys", "config": {}})

    assert pending.keys() == SESSION_KEYS
    assert pending == before | {"name": "Holidays"}
    assert (running.status_code, running.json()["name"]) == (200, "Journeys")
    assert client.get(f"{SESSIONS}/{session_id}").json()["name"] == "Journeys"


def test_what_is_named_of_a_config_changes_until_the_session_is_started(
    client: httpx.Client, gateway: Gateway, folder: Path
) -> None:
    (folder / "below").mkdir()
    make_photos(folder, 2)
    make_photos(folder / "below", 2)
    config = {"recursive": True, "extensions": [".jpg"], "batchSize": 7}
    session_id = gateway.create(client, folder, config=config)
    path = f"{SESSIONS}/{session_id}"

    first = client.patch(path, json={"config": {"recursive": False}}).json()
    second = client.patch(path, json={"config": {"extensions": ["JPG", "png"], "batch_size": None}}).json()
    client.post(f"{path}/start").raise_for_status()
    wait_for_total(client, session_id, 2)

    assert first["config"] == config | {"recursive": False, "weighting": None}
    changed = {"recursive": False, "extensions": [".jpg", ".png"], "batchSize": None, "weighting": None}
    assert second["config"] == changed
    late = refused(client.patch(path, json={"name": "x", "config": {"recursive": True}}), 409, "not_allowed_now")
    assert late["error"]["details"] == {"status": "running", "allowed": ["pause", "cancel"]}
    after = client.patch(path, json={"config": {"recursive": False, "batchSize": None}})
    assert (after.status_code, after.json()["config"], after.json()["name"]) == (200, changed, "a session")


@pytest.mark.parametrize(
    "change",
    [
        *({"name": ""}, {"name": " "}, {"name": None}, {"name": "a\0b"}, {"name": "x" * 201}),
        *({"config": None}, {"config": {"batchSize": 0}}, {"config": {"recursive": None}}, {"config": []}),
    ],
)
def test_a_change_that_does_not_fit_is_422(client: httpx.Client, gateway: Gateway, change: dict[str, Any]) -> None:
    refused(client.patch(f"{SESSIONS}/{gateway.create(client)}", json=change), 422, "invalid_request")


@pytest.mark.parametrize("status", ["pending", "paused", "completed", "failed", "cancelled"])
def test_a_session_that_does_not_run_can_be_deleted_and_is_gone(
    client: httpx.Client, gateway: Gateway, alter: Alter, status: str
) -> None:
    session_id = gateway.create(client)
    alter(
        "UPDATE sessions SET status = :status, updated_at = clock_timestamp() WHERE id = :id",
        status=status,
        id=session_id,
    )
    path = f"{SESSIONS}/{session_id}"
    client.get(f"{path}/progress-unified").raise_for_status()

    answer = client.delete(path)

    assert (answer.status_code, answer.content) == (204, b"")
    for gone in ("", "/progress-unified", "/progress", "/jobs", "/progress-unified/stream"):
        refused(client.get(path + gone), 404, "not_found")
    refused(client.delete(path), 404, "not_found")
    assert session_id not in {one["id"] for one in client.get(SESSIONS, params={"page_size": 100}).json()["items"]}


def test_a_running_session_is_not_deleted(client: httpx.Client, gateway: Gateway) -> None:
    session_id = gateway.create(client)
    client.post(f"{SESSIONS}/{session_id}/start").raise_for_status()

    body = refused(client.delete(f"{SESSIONS}/{session_id}"), 409, "not_allowed_now")

    assert body["error"]["details"]["allowed"] == ["pause", "cancel"]
    assert client.get(f"{SESSIONS}/{session_id}").status_code == 200


def test_the_stream_of_a_deleted_session_ends(client: httpx.Client, gateway: Gateway) -> None:
    session_id = gateway.create(client)

    with client.stream("GET", f"{SESSIONS}/{session_id}/progress-unified/stream") as answer:
        events = read_events(answer.iter_lines())
        assert next(events)["event"] == "progress"
        client.delete(f"{SESSIONS}/{session_id}").raise_for_status()
        assert [event for event in events if "data" in event] == []


def jobs_of(client: httpx.Client, session_id: int, **query: str) -> dict[int, str]:
    """Status by id."""
    page = client.get(f"{SESSIONS}/{session_id}/jobs", params=query).raise_for_status().json()
    assert page["total"] == len(page["items"])
    return {job["id"]: job["status"] for job in page["items"]}


def summary_of(client: httpx.Client, session_id: int) -> dict[str, int]:
    """The statuses that some photo has."""
    summary = client.get(f"{SESSIONS}/{session_id}/progress").raise_for_status().json()["jobsSummary"]
    return {status: count for status, count in summary.items() if count}


@pytest.fixture
def started(client: httpx.Client, gateway: Gateway, folder: Path) -> int:
    """A session of three photos of which none is done."""
    make_photos(folder, 3)
    session_id = gateway.create(client, folder)
    client.post(f"{SESSIONS}/{session_id}/start").raise_for_status()
    wait_for_total(client, session_id, 3)
    return session_id


def test_what_a_cancelled_session_left_undone_is_cancelled_until_it_goes_on(client: httpx.Client, started: int) -> None:
    ids = list(jobs_of(client, started))

    client.post(f"{SESSIONS}/{started}/cancel").raise_for_status()

    assert jobs_of(client, started) == jobs_of(client, started, status="cancelled") == dict.fromkeys(ids, "cancelled")
    assert jobs_of(client, started, status="pending") == {}
    assert summary_of(client, started) == {"cancelled": 3}
    job = client.get(f"/api/v1/training/jobs/{ids[0]}").json()
    assert (job["status"], job["progress"], job["completedAt"]) == ("cancelled", 0, None)

    client.post(f"{SESSIONS}/{started}/start").raise_for_status()
    assert jobs_of(client, started) == jobs_of(client, started, status="pending") == dict.fromkeys(ids, "pending")
    assert jobs_of(client, started, status="cancelled") == {}
    assert summary_of(client, started) == {"pending": 3}


def test_a_photo_that_failed_waits_to_be_tried_again(client: httpx.Client, started: int, alter: Alter) -> None:
    first, second, _ = jobs_of(client, started)
    alter(
        "UPDATE session_assets SET status = 'failed', error_phase = 'training', error_code = 'corrupt', "
        "error_message = 'It is damaged.', completed_at = now() WHERE id = :id",
        id=first,
    )
    assert client.get(f"/api/v1/training/jobs/{first}").json()["errorPhase"] == "training"

    answer = client.post(f"{SESSIONS}/{started}/jobs/{first}/retry")

    assert answer.status_code == 202
    job = answer.json()
    assert job.keys() >= JOB_KEYS
    assert (job["id"], job["status"], job["progress"]) == (first, "pending", 0)
    assert [job[name] for name in ("errorMessage", "errorCode", "errorPhase", "completedAt")] == [None] * 4
    assert client.get(f"/api/v1/training/jobs/{first}").json() == job
    assert summary_of(client, started) == {"pending": 3}
    for job_id in (first, second):
        refused(client.post(f"{SESSIONS}/{started}/jobs/{job_id}/retry"), 409, "not_allowed_now")


def test_a_job_of_another_session_is_404(client: httpx.Client, gateway: Gateway, started: int) -> None:
    other = gateway.create(client)
    job_id = next(iter(jobs_of(client, started)))

    refused(client.post(f"{SESSIONS}/{other}/jobs/{job_id}/retry"), 404, "not_found")
    refused(client.post(f"{SESSIONS}/{started}/jobs/{2**62}/retry"), 404, "not_found")
    refused(client.post(f"{SESSIONS}/{2**62}/jobs/{job_id}/retry"), 404, "not_found")
    refused(client.post(f"{SESSIONS}/{started}/jobs/nonsense/retry"), 422, "invalid_request")
