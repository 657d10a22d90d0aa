"""Training sessions over REST: shapes, transitions and refusals, as the contract has them."""

import json
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.support.real_servers import wait_for
from tests.support.running_gateway import Gateway

SESSIONS = "/api/v1/training/sessions"
SESSION_KEYS = {
    *("id", "name", "status", "rootPath", "categoryId", "category", "config", "totalImages", "processedImages"),
    *("failedImages", "skippedImages", "createdAt", "startedAt", "completedAt", "pausedAt"),
}
PAGE_KEYS = {"items", "total", "page", "pageSize", "hasMore"}
JOB_KEYS = {
    *("id", "sessionId", "assetId", "status", "rqJobId", "progress", "errorMessage", "processingTimeMs", "imagePath"),
    *("skipReason", "createdAt", "startedAt", "completedAt"),
}
UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The error object, once it is one."""
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert body.keys() == {"detail", "message", "error"}
    assert body["error"].keys() == {"code", "message", "details"}
    assert body["error"]["code"] == code
    assert body["message"] == body["error"]["message"] != ""
    assert "Traceback" not in answer.text
    return body


def make_photos(folder: Path, count: int) -> None:
    for number in range(count):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number:03}.jpg")


def wait_for_total(client: httpx.Client, session_id: int, total: int) -> dict[str, Any]:
    """The session once discovery has counted that many photos."""
    found: list[dict[str, Any]] = []

    def counted() -> bool:
        found.append(client.get(f"{SESSIONS}/{session_id}").json())
        return bool(found[-1]["totalImages"] == total and found[-1]["status"] == "running")

    wait_for(counted, f"session {session_id} has {total} photos")
    return found[-1]


def test_a_created_session_has_the_contracts_keys_and_waits(client: httpx.Client, folder: Path) -> None:
    answer = client.post(
        SESSIONS,
        json={
            "name": "Holidays",
            "rootPath": str(folder),
            "config": {"recursive": False, "extensions": ["JPG", ".png"], "batchSize": 7},
        },
    )

    assert answer.status_code == 201
    session = answer.json()
    assert session.keys() == SESSION_KEYS
    assert (session["name"], session["status"], session["rootPath"]) == ("Holidays", "pending", str(folder))
    config = {"recursive": False, "extensions": [".jpg", ".png"], "batchSize": 7, "weighting": None}
    assert session["config"] == config
    assert UTC.fullmatch(session["createdAt"])
    assert [session[name] for name in ("startedAt", "completedAt", "pausedAt", "category", "categoryId")] == [None] * 5
    assert client.get(f"{SESSIONS}/{session['id']}").json() == session


def test_a_body_may_be_in_snake_case_and_hold_fields_that_are_not_known(client: httpx.Client, folder: Path) -> None:
    (folder / "a").mkdir()
    body = {
        "name": "snake",
        "root_path": str(folder),
        "category_id": None,
        "subdirectories": [str(folder / "a"), "a"],
        "config": {"batch_size": 3, "someday": True},
        "colour": "blue",
    }

    answer = client.post(SESSIONS, json=body)

    assert answer.status_code == 201, answer.text
    assert answer.json()["config"]["batchSize"] == 3


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "x" * 201},
        {"name": "a\0b"},
        {"name": None},
        {"rootPath": ""},
        {"rootPath": 7},
        {"rootPath": "/" + "x" * 4096},
        {"categoryId": 10**30},
        {"categoryId": -1},
        {"config": {"batchSize": 0}},
        {"config": {"extensions": [".j\0pg"]}},
        {"subdirectories": "all"},
    ],
)
def test_a_body_that_does_not_fit_is_422_with_the_field_named(
    client: httpx.Client, folder: Path, change: dict[str, Any]
) -> None:
    body = refused(client.post(SESSIONS, json={"name": "n", "rootPath": str(folder), **change}), 422, "invalid_request")

    field = next(iter(change))
    assert isinstance(body["detail"], list)
    assert any(field in problem["loc"] for problem in body["detail"])
    assert field in body["message"]


@pytest.mark.parametrize("name", [b'"\\udc80"', b'"\\ud800"'])
def test_a_name_that_is_no_text_is_422(client: httpx.Client, folder: Path, name: bytes) -> None:
    content = b'{"name": %b, "rootPath": %b}' % (name, json.dumps(str(folder)).encode())

    refused(
        client.post(SESSIONS, content=content, headers={"content-type": "application/json"}), 422, "invalid_request"
    )


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"x"', b'{"name": 1' + b"0" * 5000 + b"}", b"\xff"])
def test_a_body_that_is_no_object_of_json_is_refused(client: httpx.Client, content: bytes) -> None:
    answer = client.post(SESSIONS, content=content, headers={"content-type": "application/json"})

    refused(answer, 400 if answer.status_code == 400 else 422, "invalid_request")


def test_an_unknown_category_is_404(client: httpx.Client, folder: Path) -> None:
    refused(client.post(SESSIONS, json={"name": "n", "rootPath": str(folder), "categoryId": 2**62}), 404, "not_found")


def test_what_lies_outside_the_roots_is_refused_alike_whether_it_is_there_or_not(
    client: httpx.Client, gateway: Gateway, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = gateway.media / f"link-{os.urandom(4).hex()}"
    link.symlink_to(outside)

    answers = [
        refused(client.post(SESSIONS, json={"name": "n", "rootPath": path}), 400, "path_not_allowed")
        for path in (
            *(str(outside), str(tmp_path / "absent"), "/", "/etc/passwd", "/root", str(link), str(link / "absent")),
            *(f"{gateway.media}/../media2", f"{gateway.media}-other", "relative", "s3://bucket", "/nul\0"),
        )
    ]

    assert all(answer == answers[0] for answer in answers)


def test_directories_that_cannot_be_used_are_named_with_their_reason(client: httpx.Client, folder: Path) -> None:
    (folder / "a.jpg").write_bytes(b"")

    def create(path: Path) -> httpx.Response:
        return client.post(SESSIONS, json={"name": "n", "rootPath": str(path)})

    refused(create(folder / "absent"), 400, "directory_not_found")
    refused(create(folder / "a.jpg"), 400, "not_a_directory")
    refused(create(folder / ("x" * 300)), 400, "directory_not_readable")


def test_chosen_subdirectories_lie_under_the_root_of_the_session(client: httpx.Client, folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "ab").mkdir()

    def create(*subdirectories: str) -> httpx.Response:
        body = {"name": "n", "rootPath": str(folder / "a"), "subdirectories": subdirectories}
        return client.post(SESSIONS, json=body)

    refused(create(str(folder / "ab")), 400, "path_not_allowed")
    refused(create("../ab"), 400, "path_not_allowed")
    refused(create("absent"), 400, "directory_not_found")
    assert create(str(folder / "a")).status_code == 201


def test_a_directory_whose_name_is_not_utf8_is_walked(client: httpx.Client, folder: Path) -> None:
    name = os.fsencode(folder) + b"/caf\xe9\ndirectory"
    os.mkdir(name)  # noqa: PTH102 - the name is bytes
    Image.new("RGB", (8, 8)).save(os.fsdecode(name + b"/\xff photo.jpg"))
    content = json.dumps({"name": "n", "rootPath": os.fsdecode(name), "subdirectories": [os.fsdecode(name)]})
    assert "\\udce9" in content

    answer = client.post(SESSIONS, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 201, answer.text
    session_id = answer.json()["id"]
    assert client.post(f"{SESSIONS}/{session_id}/start").status_code == 200
    wait_for_total(client, session_id, 1)

    job = client.get(f"{SESSIONS}/{session_id}/jobs").json()["items"][0]
    assert job["imagePath"] == f"{folder}/caf\\xe9\ndirectory/\\xff photo.jpg"
    assert client.get(f"{SESSIONS}/{session_id}").json()["rootPath"] == f"{folder}/caf\\xe9\ndirectory"


def test_sessions_are_listed_newest_first_in_pages(client: httpx.Client, gateway: Gateway) -> None:
    ids = [gateway.create(client) for _ in range(3)]

    first = client.get(SESSIONS, params={"page": 1, "page_size": 2}).json()
    second = client.get(SESSIONS, params={"page": 2, "page_size": 2}).json()

    assert first.keys() == PAGE_KEYS
    assert [session["id"] for session in first["items"]] == ids[:0:-1]
    assert second["items"][0]["id"] == ids[0]
    assert (first["page"], first["pageSize"], first["hasMore"]) == (1, 2, True)
    assert client.get(SESSIONS).json()["pageSize"] == 20
    beyond = client.get(SESSIONS, params={"page": 1_000_000}).json()
    assert (beyond["items"], beyond["hasMore"]) == ([], False)


@pytest.mark.parametrize(
    "query",
    ["page=0", "page=-1", "page=x", "page_size=0", "page_size=101", "page=1000000000000000000000", "status=nonsense"],
)
def test_a_page_out_of_range_is_422(client: httpx.Client, query: str) -> None:
    refused(client.get(f"{SESSIONS}?{query}"), 422, "invalid_request")


def test_sessions_are_filtered_by_the_status_that_they_show(
    client: httpx.Client, gateway: Gateway, alter: Callable[..., None]
) -> None:
    session_id = gateway.create(client)
    for status in ("pending", "discovering", "running", "paused", "completed", "failed", "cancelled"):
        alter(
            "UPDATE sessions SET status = :status, discovered_at = CASE WHEN :discovered THEN now() END WHERE id = :id",
            status="running" if status == "discovering" else status,
            discovered=status != "discovering",
            id=session_id,
        )
        # Nobody else may take it meanwhile.
        listed = client.get(SESSIONS, params={"status": status, "page_size": 100}).json()
        shown = {session["id"]: session["status"] for session in listed["items"]}
        assert set(shown.values()) == {status}
        assert session_id in shown


IDS = ["0", "-1", str(2**63 - 1), str(2**63), str(10**30), "1" * 5000, "1.5", "nonsense", "%00", "%ff", "Infinity"]


@pytest.mark.parametrize("named", IDS)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/training/sessions/{}"),
        ("POST", "/api/v1/training/sessions/{}/start"),
        ("GET", "/api/v1/training/sessions/{}/problems"),
        ("GET", "/api/v1/training/sessions/{}/jobs"),
        ("GET", "/api/v1/training/sessions/{}/progress"),
        ("GET", "/api/v1/training/sessions/{}/progress-unified"),
        ("GET", "/api/v1/training/sessions/{}/progress-unified/stream"),
        ("GET", "/api/v1/training/jobs/{}"),
        ("GET", "/api/v1/faces/clusters/{}"),
        ("GET", "/api/v1/faces/clusters?session_id={}"),
        ("GET", "/api/v1/faces/{}/crop"),
        ("GET", "/api/v1/images/{}/thumbnail"),
    ],
)
def test_an_id_that_names_nothing_is_404_or_422(client: httpx.Client, method: str, path: str, named: str) -> None:
    answer = client.request(method, path.format(named))

    refused(answer, *((404, "not_found") if answer.status_code == 404 else (422, "invalid_request")))


def test_start_answers_running_and_so_does_the_progress_right_after(client: httpx.Client, gateway: Gateway) -> None:
    session_id = gateway.create(client)

    answer = client.post(f"{SESSIONS}/{session_id}/start")
    progress = client.get(f"{SESSIONS}/{session_id}/progress-unified").json()

    assert answer.status_code == 200
    assert answer.json().keys() == {"sessionId", "status", "message"}
    assert (answer.json()["sessionId"], answer.json()["status"]) == (session_id, "running")
    assert progress["overallStatus"] == "running"
    assert client.get(f"{SESSIONS}/{session_id}").json()["status"] in ("discovering", "running")


def test_starting_twice_at_once_is_starting_once(client: httpx.Client, gateway: Gateway) -> None:
    session_id = gateway.create(client)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: client.post(f"{SESSIONS}/{session_id}/start"), range(8)))

    assert [answer.status_code for answer in answers] == [200] * 8
    assert {answer.json()["status"] for answer in answers} == {"running"}
    phases = client.get(f"{SESSIONS}/{session_id}/progress-unified").json()["phases"]
    assert {phase["run"] for phase in phases.values()} == {1}


@pytest.mark.parametrize("status", ["paused", "cancelled", "failed"])
def test_start_lets_a_session_go_on(
    client: httpx.Client, gateway: Gateway, alter: Callable[..., None], status: str
) -> None:
    session_id = gateway.create(client)
    alter("UPDATE sessions SET status = :status WHERE id = :id", status=status, id=session_id)

    answer = client.post(f"{SESSIONS}/{session_id}/start")

    assert (answer.status_code, answer.json()["status"]) == (200, "running")


def test_a_completed_session_is_not_started_again(
    client: httpx.Client, gateway: Gateway, alter: Callable[..., None]
) -> None:
    session_id = gateway.create(client)
    alter("UPDATE sessions SET status = 'completed', completed_at = now() WHERE id = :id", id=session_id)

    body = refused(client.post(f"{SESSIONS}/{session_id}/start"), 409, "not_allowed_now")

    assert body["error"]["details"]["status"] == "completed"
    assert "restart-training" in body["error"]["details"]["allowed"]


def test_jobs_are_the_photos_of_a_session(client: httpx.Client, gateway: Gateway, folder: Path) -> None:
    make_photos(folder, 3)
    session_id = gateway.create(client, folder)
    client.post(f"{SESSIONS}/{session_id}/start")
    session = wait_for_total(client, session_id, 3)
    assert (session["processedImages"], session["failedImages"], session["skippedImages"]) == (0, 0, 0)

    page = client.get(f"{SESSIONS}/{session_id}/jobs", params={"page_size": 2}).json()

    assert page.keys() == PAGE_KEYS
    assert (page["total"], page["pageSize"], page["hasMore"]) == (3, 2, True)
    assert client.get(f"{SESSIONS}/{session_id}/jobs").json()["pageSize"] == 50
    for number, job in enumerate(page["items"]):
        assert job.keys() >= JOB_KEYS
        assert (job["sessionId"], job["status"], job["progress"]) == (session_id, "pending", 0)
        assert job["imagePath"] == str(folder / f"{number:03}.jpg")
        assert UTC.fullmatch(job["createdAt"])
    job = page["items"][0]
    assert client.get(f"/api/v1/training/jobs/{job['id']}").json() == job
    assert client.get(f"{SESSIONS}/{session_id}/jobs", params={"status": "failed"}).json()["items"] == []
    refused(client.get(f"{SESSIONS}/{session_id}/jobs?page_size=101"), 422, "invalid_request")
    refused(client.get(f"{SESSIONS}/{session_id}/jobs?status=done"), 422, "invalid_request")

    thumbnail = client.get(f"/api/v1/images/{job['assetId']}/thumbnail")
    assert (thumbnail.status_code, thumbnail.headers["content-type"]) == (200, "image/jpeg")
    again = client.get(thumbnail.url.path, headers={"if-none-match": thumbnail.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    (folder / "001.jpg").write_bytes(b"no picture")
    unreadable = client.get(f"/api/v1/images/{page['items'][1]['assetId']}/thumbnail")
    assert refused(unreadable, 409, "image_unreadable")["error"]["details"]["reason"] == "unsupported_format"


def test_problems_name_the_folders_that_were_left_out(client: httpx.Client, gateway: Gateway, folder: Path) -> None:
    (folder / "away").symlink_to("/etc")
    make_photos(folder, 1)
    session_id = gateway.create(client, folder)
    client.post(f"{SESSIONS}/{session_id}/start")
    wait_for_total(client, session_id, 1)

    page = client.get(f"{SESSIONS}/{session_id}/problems").json()

    assert page.keys() == PAGE_KEYS
    assert [(one["path"], one["code"]) for one in page["items"]] == [(str(folder / "away"), "path_not_allowed")]
