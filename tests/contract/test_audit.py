"""Who had what done: recorded before the answer leaves, told to administrators, and not to be changed."""

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import httpx
import pytest
from typer.testing import CliRunner

from tests.support.access import bearer, make_known_token
from tests.support.emptied_database import database_of_a_file
from tests.support.real_servers import PostgresServer, run_apart, wait_for
from tests.support.running_gateway import Gateway, running_gateway
from triptych_gateway.cli.app import app

AUDIT = "/api/v1/audit"
SESSIONS = "/api/v1/training/sessions"
CATEGORIES = "/api/v1/categories"
KEYS = {
    *("id", "at", "requestId", "caller", "tokenId", "action", "method", "path", "sessionId", "personId", "status"),
}


@pytest.fixture(scope="module")
def gateway(
    postgres: PostgresServer, shared_nats_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway that asks for tokens, with a database of its own."""
    with (
        database_of_a_file(postgres) as url,
        running_gateway(
            database_url=url,
            nats_url=shared_nats_url,
            folder=tmp_path_factory.mktemp("audited"),
            TRIPTYCH_ACCESS="tokens",
        ) as running,
    ):
        yield running


@pytest.fixture
def admin(gateway: Gateway) -> Iterator[httpx.Client]:
    _, secret = run_apart(make_known_token(gateway.database_url, "admin", name="the administrator"))
    with gateway.client() as client:
        client.headers.update(bearer(secret))
        yield client


def entries(admin: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = admin.get(AUDIT, params=query).raise_for_status().json()["items"]
    return items


def execute(url: str, statement: str) -> None:
    async def work() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    run_apart(work())


def test_a_change_is_recorded_with_who_what_about_what_and_how_it_was_answered(
    gateway: Gateway, admin: httpx.Client
) -> None:
    token_id, secret = run_apart(make_known_token(gateway.database_url, "control", name="Ünal's phone"))
    with gateway.client() as phone:
        phone.headers.update(bearer(secret))
        session_id = gateway.create(phone)
        answer = phone.post(f"{SESSIONS}/{session_id}/start", headers={"x-request-id": "from-the-proxy.1"})
        named = phone.patch(f"/api/v1/faces/persons/{2**62}", json={"name": "Ada"})
        phone.get(f"{SESSIONS}/{session_id}")
        phone.post("/api/v1/search", json={})

    assert answer.headers["x-request-id"] == "from-the-proxy.1"
    patched, started, created = entries(admin)
    assert patched["requestId"] == named.headers["x-request-id"]
    assert created.keys() == KEYS
    by_whom = {"caller": "Ünal's phone", "tokenId": token_id}
    assert (
        created.items()
        >= {
            **by_whom,
            "action": "createSession",
            "method": "POST",
            "path": SESSIONS,
            "sessionId": session_id,
            "personId": None,
            "status": 201,
        }.items()
    )
    assert (
        started.items()
        >= {
            **by_whom,
            "action": "startSession",
            "sessionId": session_id,
            "requestId": "from-the-proxy.1",
            "status": 200,
        }.items()
    )
    assert patched.items() >= {**by_whom, "sessionId": None, "personId": 2**62, "status": 404}.items()
    assert created["at"] <= started["at"] <= patched["at"]
    assert len({created["requestId"], started["requestId"], patched["requestId"]}) == 3


def test_secrets_refusals_and_questions_are_not_recorded(gateway: Gateway, admin: httpx.Client) -> None:
    before = entries(admin)
    _, secret = run_apart(make_known_token(gateway.database_url, "read"))
    with gateway.client() as reader:
        assert reader.post(CATEGORIES, json={"name": "a"}).status_code == 401
        assert reader.post(CATEGORIES, json={"name": "a"}, headers=bearer(secret)).status_code == 403
        assert reader.post("/api/v1/access/login", json={"token": secret}).status_code == 200
        assert reader.get(AUDIT, headers=bearer(secret)).status_code == 403

    assert entries(admin) == before


def test_the_latest_come_first_page_by_page_and_those_of_a_session_by_themselves(
    gateway: Gateway, admin: httpx.Client
) -> None:
    session_id = gateway.create(admin)
    for number in range(5):
        admin.patch(f"{SESSIONS}/{session_id}", json={"name": f"Name {number}"}).raise_for_status()
    gateway.create(admin)

    of_it = [entry["id"] for entry in entries(admin, session_id=session_id)]
    assert len(of_it) == 6
    assert of_it == sorted(of_it, reverse=True)
    pages = [entries(admin, session_id=session_id, page=page, page_size=4) for page in (1, 2)]
    assert [entry["id"] for page in pages for entry in page] == of_it
    admin.delete(f"{SESSIONS}/{session_id}").raise_for_status()
    assert entries(admin, session_id=session_id)[0]["action"] == "deleteSession"


@pytest.mark.parametrize(
    "path",
    ["/api/v1/nothing/\x00", f"{SESSIONS}/٣/start", f"{SESSIONS}/{10**30}/start", f"/api/v1/{'x' * 5000}", "/api/v1/é"],
)
def test_whatever_is_asked_for_can_be_recorded(admin: httpx.Client, path: str) -> None:
    answer = admin.post(path.replace("\x00", "%00"))

    assert answer.status_code in (404, 405, 422)
    assert entries(admin)[0].items() >= {"status": answer.status_code, "sessionId": None}.items()


@pytest.mark.parametrize("statement", ["UPDATE audit SET caller = 'somebody else'", "DELETE FROM audit"])
def test_what_is_recorded_is_not_changed(gateway: Gateway, admin: httpx.Client, statement: str) -> None:
    admin.post(CATEGORIES, json={})
    before = entries(admin)

    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only added to"):
        execute(gateway.database_url, statement)

    assert entries(admin) == before


def test_what_is_older_than_is_kept_is_removed(
    postgres: PostgresServer, shared_nats_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with database_of_a_file(postgres) as url:
        for age in ("40 days", "20 days"):
            execute(
                url,
                f"""INSERT INTO audit (at, request_id, method, path, status)
                VALUES (now() - interval '{age}', '{age}', 'POST', '/', 200)""",  # noqa: S608
            )
        with (
            running_gateway(
                database_url=url,
                nats_url=shared_nats_url,
                folder=tmp_path_factory.mktemp("tidied"),
                TRIPTYCH_AUDIT_KEEP_DAYS="30",
            ) as gateway,
            gateway.client() as client,
        ):
            wait_for(
                lambda: [entry["requestId"] for entry in entries(client)] == ["20 days"], "the older entry is removed"
            )


def test_a_change_that_cannot_be_recorded_is_answered_as_it_was_done_and_told_to_the_log(
    gateway: Gateway, admin: httpx.Client
) -> None:
    before = entries(admin)

    async def post_while_nobody_else_may_write() -> httpx.Response:
        connection = await asyncpg.connect(gateway.database_url)
        try:
            async with connection.transaction():
                # As a database that hangs does.
                await connection.execute("LOCK audit IN EXCLUSIVE MODE")
                return await asyncio.to_thread(admin.post, CATEGORIES, json={"name": "Nobody wrote it down"})
        finally:
            await connection.close()

    answer = run_apart(post_while_nobody_else_may_write())

    assert answer.status_code == 201
    assert entries(admin) == before
    assert "only this log knows of a change" in gateway.log.read_text()


def test_the_command_line_shows_it(gateway: Gateway, admin: httpx.Client) -> None:
    session_id = gateway.create(admin)

    shown = CliRunner().invoke(
        app,
        ["audit", "--session", str(session_id), "--url", gateway.url],
        env={"COLUMNS": "200", "TRIPTYCH_TOKEN": admin.headers["authorization"].removeprefix("Bearer ")},
        catch_exceptions=False,
    )

    assert shown.exit_code == 0
    (line,) = [one for one in shown.stdout.splitlines() if "POST" in one]
    assert "the administrator" in line
    assert f"{SESSIONS} → {session_id}" in line
    assert line.rstrip().endswith("201")
