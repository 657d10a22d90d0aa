"""Who asks too often is told so, and how long to wait; nobody else notices."""

from collections.abc import Iterator
from itertools import repeat

import httpx
import pytest

from tests.support.access import bearer, make_token
from tests.support.real_servers import PostgresServer, run_apart
from tests.support.running_gateway import Gateway, running_gateway

SESSIONS = "/api/v1/training/sessions"
LOGIN = "/api/v1/access/login"
REQUESTS, ATTEMPTS = 25, 6
MOST = 50 * REQUESTS
"""More than any machine is too slow for."""


@pytest.fixture
def gateway(
    postgres: PostgresServer, shared_nats_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway with little patience."""
    name = postgres.create_database()
    with running_gateway(
        database_url=postgres.url(name),
        nats_url=shared_nats_url,
        folder=tmp_path_factory.mktemp("limited"),
        TRIPTYCH_ACCESS="tokens",
        TRIPTYCH_REQUESTS_PER_MINUTE=str(REQUESTS),
        TRIPTYCH_WRONG_TOKENS_PER_MINUTE=str(ATTEMPTS),
    ) as running:
        yield running
    postgres.drop_database(name)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx.Client]:
    with gateway.client() as opened:
        yield opened


def refused_after(answers: Iterator[httpx.Response]) -> int:
    """How many were answered otherwise before the first that came too soon, which is as the contract has it."""
    for number, answer in zip(range(MOST), answers, strict=False):
        if answer.status_code == 429:
            body = answer.json()
            assert body["error"]["code"] == "too_many_requests"
            assert body["message"] == body["detail"] == body["error"]["message"]
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            assert answer.headers["retry-after"] in body["message"]
            return number
    raise AssertionError(f"{MOST} requests were let through")


def test_a_token_that_asks_too_often_is_told_to_wait_and_others_are_not(gateway: Gateway, client: httpx.Client) -> None:
    first, second = (bearer(run_apart(make_token(gateway.database_url, "read"))) for _ in range(2))

    before = refused_after(client.get(SESSIONS, headers=first) for _ in repeat(None))

    # Its first request made it known, and counted as one that did not hold yet.
    assert before >= REQUESTS
    assert client.get(SESSIONS, headers=second).status_code == 200
    assert client.get("/health", headers=first).status_code == 200


def test_an_address_without_a_token_that_asks_too_often_is_told_to_wait_and_a_token_from_there_is_not(
    gateway: Gateway, client: httpx.Client
) -> None:
    known = bearer(run_apart(make_token(gateway.database_url, "read")))
    assert client.get(SESSIONS, headers=known).status_code == 200

    assert refused_after(client.get(SESSIONS) for _ in repeat(None)) >= REQUESTS

    assert client.get(SESSIONS, headers=known).status_code == 200


def test_guessing_at_the_login_ends_soon_and_keeps_nobody_out_who_is_in(gateway: Gateway, client: httpx.Client) -> None:
    secret = run_apart(make_token(gateway.database_url, "read"))
    assert client.get(SESSIONS, headers=bearer(secret)).status_code == 200

    guesses = (client.post(LOGIN, json={"token": f"triptych_{number}"}) for number in range(MOST))
    assert ATTEMPTS - 1 <= refused_after(guesses) < REQUESTS

    # Neither a right token logs in now, nor is another one looked for in the database.
    assert client.post(LOGIN, json={"token": secret}).status_code == 429
    assert client.get(SESSIONS, headers=bearer("triptych_wrong")).status_code == 429
    assert client.get(SESSIONS, headers=bearer(secret)).status_code == 200


def test_tokens_that_nobody_was_given_are_counted_as_guesses(client: httpx.Client) -> None:
    guesses = (client.get(SESSIONS, headers=bearer(f"triptych_{number}")) for number in range(MOST))

    assert ATTEMPTS <= refused_after(guesses) < REQUESTS
