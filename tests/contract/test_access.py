"""Who may ask: tokens, their scopes and ends, the page's login, and what the log says of changes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.support.access import bearer, make_known_token
from tests.support.real_servers import PostgresServer, run_apart, wait_for
from tests.support.running_gateway import Gateway, running_gateway
from tools.openapi import openapi_document
from triptych_common.errors import EXIT_BAD_CONFIGURATION
from triptych_gateway import token_command
from triptych_gateway.api.access.gate import COOKIE, UNGUARDED
from triptych_gateway.api.document import INTERFACE, operations
from triptych_gateway.catalog.access.tokens import Scope, revoke_token
from triptych_gateway.catalog.database import create_engine

SESSIONS: Final = "/api/v1/training/sessions"
ABSENT: Final = 4611686018427387904
OPERATIONS: Final = [
    (method.upper(), path)
    for path, method, _ in operations(openapi_document())
    if path.startswith(INTERFACE) and path not in UNGUARDED
]
Make = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def guarded(
    postgres: PostgresServer, shared_nats_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway that asks for tokens."""
    name = postgres.create_database()
    folder = tmp_path_factory.mktemp("guarded")
    with running_gateway(
        database_url=postgres.url(name), nats_url=shared_nats_url, folder=folder, TRIPTYCH_ACCESS="tokens"
    ) as running:
        yield running
    postgres.drop_database(name)


@pytest.fixture
def anybody(guarded: Gateway) -> Iterator[httpx.Client]:
    with guarded.client() as client:
        yield client


@pytest.fixture
def make(guarded: Gateway) -> Make:
    """Makes a token; its id and its secret."""

    def made(scope: Scope = "control", *, name: str = "a test", expires_at: datetime | None = None) -> tuple[int, str]:
        return run_apart(make_known_token(guarded.database_url, scope, name=name, expires_at=expires_at))

    return made


def revoke(guarded: Gateway, token_id: int) -> None:
    async def work() -> None:
        engine = create_engine(guarded.database_url)
        async with engine.begin() as connection:
            await revoke_token(connection, token_id)
        await engine.dispose()

    run_apart(work())


def client_with(guarded: Gateway, headers: dict[str, str]) -> httpx.Client:
    client = guarded.client()
    client.headers.update(headers)
    return client


def told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_nothing_is_answered_without_a_token(anybody: httpx.Client, method: str, path: str) -> None:
    answer = anybody.request(method, path.replace("{", "").replace("}", ""))

    assert told(answer) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_without_a_token_nobody_learns_what_is_there(guarded: Gateway, anybody: httpx.Client, make: Make) -> None:
    _, secret = make()
    with client_with(guarded, bearer(secret)) as client:
        there = guarded.create(client)

    answers = [anybody.get(f"{SESSIONS}/{one}") for one in (there, ABSENT)]
    assert answers[0].status_code == answers[1].status_code == 401
    assert answers[0].content == answers[1].content


@pytest.mark.parametrize("path", ["/health", "/", "/openapi.json", "/docs"])
def test_the_page_the_health_and_the_description_are_for_everybody(anybody: httpx.Client, path: str) -> None:
    assert anybody.get(path).status_code == 200


@pytest.mark.parametrize(
    "header", ["Bearer triptych_wrong", "Bearer", "Basic dHJpcHR5Y2g6", "triptych_wrong", "Bearer a b"]
)
def test_what_is_no_token_that_was_given_is_refused(anybody: httpx.Client, header: str) -> None:
    assert told(anybody.get(SESSIONS, headers={"authorization": header})) == (401, "unauthorized")
    assert told(anybody.get(SESSIONS, headers={"cookie": f'{COOKIE}="{header}'})) == (401, "unauthorized")


def test_each_scope_may_what_it_says_and_no_more(guarded: Gateway, anybody: httpx.Client, make: Make) -> None:
    looking, working, ruling = (bearer(make(scope)[1]) for scope in ("read", "control", "admin"))
    with client_with(guarded, working) as client:
        session_id = guarded.create(client)
    of_it = f"{SESSIONS}/{session_id}"

    assert anybody.get(of_it, headers=looking).status_code == 200
    # These carry a question in their body and change nothing: the answer is theirs, not the gate's.
    assert anybody.post("/api/v1/search", headers=looking, json={}).status_code == 422
    assert anybody.post("/api/v1/training/directories/scan", headers=looking, json={}).status_code == 422
    for method, path in (("POST", f"{of_it}/start"), ("PATCH", of_it), ("DELETE", of_it), ("POST", SESSIONS)):
        assert told(anybody.request(method, path, headers=looking)) == (403, "forbidden"), (method, path)

    assert anybody.patch(of_it, headers=working, json={"name": "Named"}).status_code == 200
    assert told(anybody.delete(of_it, headers=working)) == (403, "forbidden")
    assert told(anybody.post("/api/v1/search/index/rebuild", headers=working)) == (403, "forbidden")
    assert anybody.get(of_it, headers=ruling).json()["name"] == "Named"
    assert anybody.delete(of_it, headers=ruling).status_code == 204


def test_a_token_ends_when_it_expires(anybody: httpx.Client, make: Make) -> None:
    _, over = make(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert told(anybody.get(SESSIONS, headers=bearer(over))) == (401, "unauthorized")

    _, brief = make(expires_at=datetime.now(UTC) + timedelta(seconds=3))
    assert anybody.get(SESSIONS, headers=bearer(brief)).status_code == 200
    wait_for(lambda: anybody.get(SESSIONS, headers=bearer(brief)).status_code == 401, "the token expires")


def test_a_revoked_token_ends_within_seconds_and_its_streams_with_it(
    guarded: Gateway, anybody: httpx.Client, make: Make
) -> None:
    token_id, secret = make("read")
    with anybody.stream("GET", "/api/v1/training/progress/stream", headers=bearer(secret), timeout=60) as stream:
        assert stream.status_code == 200
        revoke(guarded, token_id)
        wait_for(lambda: anybody.get(SESSIONS, headers=bearer(secret)).status_code == 401, "the token is over")
        with client_with(guarded, bearer(make("control")[1])) as client:
            session_id = guarded.create(client)
            assert client.post(f"{SESSIONS}/{session_id}/start").status_code == 200
        # It ends with what it would have told next.
        assert f'"sessionId":{session_id}' not in "".join(stream.iter_text())


def test_the_page_logs_in_with_a_token_that_scripts_cannot_read(guarded: Gateway, make: Make) -> None:
    _, secret = make("control", name="the page", expires_at=datetime.now(UTC) + timedelta(days=2))
    with guarded.client() as page:
        answer = page.post("/api/v1/access/login", json={"token": secret})
        assert answer.json().items() >= {"name": "the page", "scope": "control"}.items()
        attributes = {part.strip().partition("=")[0].lower() for part in answer.headers["set-cookie"].split(";")}
        assert attributes >= {"httponly", "samesite", "max-age", "path"}
        assert "samesite=strict" in answer.headers["set-cookie"].lower()
        assert page.get(SESSIONS).status_code == 200

        assert page.post("/api/v1/access/logout").status_code == 204
        assert told(page.get(SESSIONS)) == (401, "unauthorized")


def test_a_wrong_token_does_not_log_in(anybody: httpx.Client) -> None:
    answer = anybody.post("/api/v1/access/login", json={"token": "triptych_wrong"})
    assert told(answer) == (401, "unauthorized")
    assert "set-cookie" not in answer.headers


def test_another_sites_page_cannot_use_the_login(guarded: Gateway, anybody: httpx.Client, make: Make) -> None:
    _, secret = make("control")
    cookie = {"cookie": f"{COOKIE}={secret}"}
    host = guarded.url.removeprefix("http://")
    ours = [{"sec-fetch-site": "same-origin"}, {"origin": guarded.url, "host": host}]
    theirs: list[dict[str, str]] = [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {},
    ]
    for headers in ours:
        assert told(anybody.post(SESSIONS, headers=cookie | headers, json={})) == (422, "invalid_request"), headers
    for headers in theirs:
        assert told(anybody.post(SESSIONS, headers=cookie | headers, json={})) == (403, "forbidden"), headers
    # With a header of its own no browser sends it by itself.
    assert told(anybody.post(SESSIONS, headers=bearer(secret) | theirs[0], json={})) == (422, "invalid_request")


def test_the_log_says_who_changed_what_and_holds_no_secret(guarded: Gateway, anybody: httpx.Client, make: Make) -> None:
    token_id, secret = make("control", name="Ünal's phone")
    anybody.post("/api/v1/categories", headers=bearer(secret), json={"name": "Holidays"})
    anybody.post("/api/v1/access/login", json={"token": secret})
    anybody.get(SESSIONS, headers=bearer(secret))

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in guarded.log.read_text().splitlines()]

    wait_for(lambda: any(line.get("token_id") == token_id for line in lines()), "the change is in the log")
    (change,) = [line for line in lines() if line.get("token_id") == token_id]
    assert (change["event"], change["caller"]) == ("asked for a change", "Ünal's phone")
    assert (change["method"], change["path"], change["status"]) == ("POST", "/api/v1/categories", 201)
    assert secret not in guarded.log.read_text()


def test_where_no_token_is_asked_for_everybody_may_and_nobody_logs_in(client: httpx.Client) -> None:
    assert client.get(SESSIONS).status_code == 200
    assert told(client.post("/api/v1/access/login", json={"token": "any"})) == (409, "not_allowed_now")
    assert client.post("/api/v1/access/logout").status_code == 204


def test_a_gateway_that_others_can_reach_does_not_start_without_asking_for_tokens(
    guarded: Gateway, shared_nats_url: str, tmp_path: Path
) -> None:
    environment = os.environ | {
        "DATABASE_URL": guarded.database_url,
        "NATS_URL": shared_nats_url,
        "TRIPTYCH_HTTP_HOST": "0.0.0.0",  # noqa: S104 - it is refused
        "TRIPTYCH_HTTP_PORT": "0",
        "TRIPTYCH_ACCESS": "off",
        "TRIPTYCH_DATA_DIR": str(tmp_path),
    }
    script = Path(sys.executable).with_name("triptych-gateway")
    ended = subprocess.run([script], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == EXIT_BAD_CONFIGURATION
    assert "triptych token create" in ended.stderr


def triptych(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    script = Path(sys.executable).with_name("triptych")
    return subprocess.run(
        [script, *arguments], env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def tool(
    guarded: Gateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """``triptych-gateway-token`` in this process: its status, output and errors."""
    monkeypatch.setenv("DATABASE_URL", guarded.database_url)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["triptych-gateway-token", *arguments])
        with pytest.raises(SystemExit) as ended:
            token_command.main()
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out, said.err

    return run


def test_the_command_makes_lists_and_revokes_tokens(
    guarded: Gateway, anybody: httpx.Client, tool: Callable[..., tuple[int, str, str]]
) -> None:
    made = triptych("token", "create", "a camera", "--scope", "read", "--days", "30", DATABASE_URL=guarded.database_url)
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    assert anybody.get(SESSIONS, headers=bearer(secret)).status_code == 200

    def listed() -> str:
        _, out, _ = tool("list")
        assert secret not in out
        return next(line for line in out.splitlines() if line.endswith("a camera"))

    assert ("read" in listed(), "expires" in listed()) == (True, True)
    status, out, _ = tool("revoke", listed().split()[0])
    assert (status, "is revoked" in out) == (0, True)
    wait_for(lambda: anybody.get(SESSIONS, headers=bearer(secret)).status_code == 401, "the token is over")
    assert "revoked" in listed()


def test_a_first_token_is_made_once_and_opens_everything(postgres: PostgresServer) -> None:
    name = postgres.create_database()
    script = Path(sys.executable).with_name("triptych-gateway-token")

    def start(*arguments: str) -> subprocess.Popen[str]:
        environment = os.environ | {"DATABASE_URL": postgres.url(name)}
        return subprocess.Popen(
            [script, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    at_once = [start("first", "whoever installed it") for _ in range(3)]
    printed = [process.communicate(timeout=60) for process in at_once]
    assert [process.returncode for process in at_once] == [0, 0, 0], printed
    assert sorted(bool(out) for out, _ in printed) == [False, False, True]
    listed, _ = start("list").communicate(timeout=60)
    assert [line.split()[:2] for line in listed.splitlines()] == [["1", "admin"]]

    start("revoke", "1").communicate(timeout=60)
    out, said = start("first", "somebody else").communicate(timeout=60)
    assert (out, "none is made" in said) == ("", True)
    postgres.drop_database(name)


@pytest.mark.parametrize(
    "arguments",
    [
        ("revoke", str(ABSENT)),
        ("create", " "),
        ("first", ""),
        ("create", "a", "--days", "0"),
        ("create", "a", "--scope", "all"),
    ],
)
def test_the_command_says_what_is_wrong(tool: Callable[..., tuple[int, str, str]], arguments: tuple[str, ...]) -> None:
    status, out, problem = tool(*arguments)

    assert (status != 0, out, "Traceback" in problem) == (True, "", False)
    assert problem.strip()


def test_the_command_line_sends_the_token_of_its_environment(guarded: Gateway, make: Make) -> None:
    refused = triptych("status", "--url", guarded.url)
    assert refused.returncode == 1
    assert "TRIPTYCH_TOKEN" in refused.stderr

    let_in = triptych("status", "--url", guarded.url, TRIPTYCH_TOKEN=make("read")[1])
    assert let_in.returncode == 0, let_in.stderr
