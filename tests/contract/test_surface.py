"""What holds for the whole surface: health, cross-origin rules, methods, groups, and the description of itself."""

import itertools
import re
import socket
from collections.abc import Iterator

import httpx
import pytest

from benchmarks.catalog_endpoints import ENDPOINTS, offered
from tools.openapi import openapi_document
from triptych_gateway.api.body_limit import MOST_BODY_BYTES

ORIGIN = "http://localhost:5173"


def test_health_says_ok_and_who_is_away(client: httpx.Client) -> None:
    body = client.get("/health").json()

    assert body["status"] == "ok"
    assert body["services"].keys() == {"embedder", "facedetect", "cluster", "progress"}
    for service in body["services"].values():
        assert service.keys() == {"status", "model", "device", "precision", "capacity", "pack", "notice"}
        assert service["status"] == "away"


@pytest.mark.parametrize("origin", [ORIGIN, "http://localhost:3000", "http://127.0.0.1:5173", "http://127.0.0.1:3000"])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_the_preflight_lets_the_development_pages_in(client: httpx.Client, origin: str, method: str) -> None:
    answer = client.options(
        "/api/v1/training/sessions",
        headers={
            "origin": origin,
            "access-control-request-method": method,
            "access-control-request-headers": "content-type, authorization",
        },
    )

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin
    assert method in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert "content-type" in allowed
    assert "authorization" in allowed


def test_answers_and_errors_can_be_read_by_those_pages_and_by_no_other(client: httpx.Client) -> None:
    for path in ("/health", "/api/v1/training/sessions/4611686018427387904", "/api/v1/training/sessions?page=0"):
        assert client.get(path, headers={"origin": ORIGIN}).headers["access-control-allow-origin"] == ORIGIN
        assert "access-control-allow-origin" not in client.get(path, headers={"origin": "http://evil.example"}).headers


def test_a_method_that_is_not_there_is_405_and_says_which_are(client: httpx.Client) -> None:
    answer = client.put("/api/v1/training/sessions/1/start")

    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


def test_a_path_that_is_not_there_is_404_as_one_object(client: httpx.Client) -> None:
    answer = client.get("/api/v1/nothing")

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert answer.json().keys() == {"detail", "message", "error"}


def test_groups_of_an_empty_library_are_an_empty_page(client: httpx.Client) -> None:
    page = client.get("/api/v1/faces/clusters").json()

    assert page == {"items": [], "total": 0, "page": 1, "pageSize": 20, "hasMore": False}


def test_groups_of_an_unknown_session_are_404(client: httpx.Client) -> None:
    assert client.get("/api/v1/faces/clusters", params={"session_id": 2**62}).status_code == 404


def test_a_rush_of_huge_queries_is_answered(client: httpx.Client) -> None:
    answer = client.get("/api/v1/training/sessions", params={"status": "x" * 50_000})

    assert answer.status_code == 422


def test_it_describes_itself(client: httpx.Client) -> None:
    assert client.get("/openapi.json").json() == openapi_document()
    assert "text/html" in client.get("/docs").headers["content-type"]


def test_a_body_beyond_the_limit_is_413_whether_or_not_its_size_is_declared(client: httpx.Client) -> None:
    headers = {"content-type": "application/json", "origin": ORIGIN}
    mebibyte = b"x" * 2**20

    def stream() -> Iterator[bytes]:
        yield b'"'
        yield from itertools.repeat(mebibyte, MOST_BODY_BYTES // len(mebibyte))
        yield b'"'

    for path in ("/api/v1/training/sessions", "/api/v1/search", "/api/v1/nothing"):
        with socket.create_connection((client.base_url.host, client.base_url.port)) as connection:
            connection.sendall(
                f"POST {path} HTTP/1.1\r\nhost: gateway\r\ncontent-length: {MOST_BODY_BYTES + 1}\r\n\r\n".encode()
            )
            assert connection.recv(65536).startswith(b"HTTP/1.1 413 "), "refused before anything of it came"
    for path in ("/api/v1/training/sessions", "/api/v1/search"):
        answer = client.post(path, content=stream(), headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
        assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_every_list_is_measured_by_bench_catalog() -> None:
    assert offered(openapi_document()) == list(ENDPOINTS)


def test_the_description_for_people_needs_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/docs").text
    needed = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page)

    assert len(needed) >= 3
    assert "//" not in "".join(needed)
    assert {client.get(path).status_code for path in needed} == {200}
    assert "url: '/openapi.json'" in page


def test_the_page_may_run_no_script_of_others_and_be_framed_by_nobody(client: httpx.Client) -> None:
    headers = client.get("/").headers

    policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
