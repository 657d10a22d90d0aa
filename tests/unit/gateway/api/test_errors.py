"""Every error, whatever raised it, as the one object of the contract."""

from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from triptych_gateway.api.errors import STATUSES, ApiError, install_error_handlers
from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.states import NotAllowedError
from triptych_gateway.cli.plain_http import NO_AUTHORITIES


def wrapped(kind: type[DBAPIError], cause: Exception) -> DBAPIError:
    """What SQLAlchemy makes of a driver's error."""
    adapted = Exception(str(cause))
    adapted.__cause__ = cause
    return kind("SELECT secret_column", {"secret": 1}, adapted)


RAISED: dict[str, tuple[Exception, int, str]] = {
    **{code: (ApiError(code, "A sentence."), status, code) for code, status in STATUSES.items()},
    "not-found": (NotFoundError("There is no session 1."), 404, "not_found"),
    "not-allowed": (NotAllowedError("Not now.", status="completed", allowed=["restart"]), 409, "not_allowed_now"),
    "http-401": (HTTPException(401, "Who are you?"), 401, "unauthorized"),
    "http-405": (HTTPException(405, headers={"Allow": "GET"}), 405, "method_not_allowed"),
    "http-400": (HTTPException(400, "Bad."), 422, "invalid_request"),
    "refused-connection": (ConnectionRefusedError(111, "refused"), 503, "database_away"),
    "no-socket": (FileNotFoundError(2, "/secret/socket"), 503, "database_away"),
    "silent-database": (TimeoutError(), 503, "database_away"),
    "full-pool": (PoolTimeoutError("QueuePool limit"), 503, "database_away"),
    "shut-down": (wrapped(DBAPIError, asyncpg.AdminShutdownError("terminating")), 503, "database_away"),
    "too-many": (wrapped(DBAPIError, asyncpg.TooManyConnectionsError("sorry")), 503, "database_away"),
    "starting": (asyncpg.CannotConnectNowError("starting up"), 503, "database_away"),
    "deadlock": (wrapped(DBAPIError, asyncpg.DeadlockDetectedError("deadlock")), 503, "database_away"),
    "closed": (wrapped(DBAPIError, asyncpg.InterfaceError("connection is closed")), 503, "database_away"),
    "unsendable": (wrapped(DBAPIError, asyncpg.DataError("value out of range")), 500, "internal_error"),
    "constraint": (wrapped(IntegrityError, asyncpg.UniqueViolationError("secret")), 500, "internal_error"),
    "statement": (wrapped(DBAPIError, asyncpg.UndefinedColumnError("secret_column")), 500, "internal_error"),
    "defect": (KeyError("secret"), 500, "internal_error"),
}


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/{name}")
    async def fail(name: str) -> None:
        raise RAISED[name][0]

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, verify=NO_AUTHORITIES, base_url="http://gateway") as opened:
        yield opened


@pytest.mark.parametrize("name", RAISED)
async def test_an_error_is_one_object_and_tells_nothing_of_the_inside(client: httpx.AsyncClient, name: str) -> None:
    _, status, code = RAISED[name]

    answer = await client.get(f"/{name}")

    assert answer.status_code == status
    body = answer.json()
    assert body.keys() == {"detail", "message", "error"}
    assert body["error"].keys() == {"code", "message", "details"}
    assert body["error"]["code"] == code
    assert body["detail"] == body["message"] == body["error"]["message"]
    assert "secret" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_a_state_that_does_not_allow_it_says_which_it_is_and_what_is_allowed(client: httpx.AsyncClient) -> None:
    body = (await client.get("/not-allowed")).json()

    assert body["error"]["details"] == {"status": "completed", "allowed": ["restart"]}


async def test_headers_of_an_error_are_sent(client: httpx.AsyncClient) -> None:
    assert (await client.get("/http-405")).headers["allow"] == "GET"
