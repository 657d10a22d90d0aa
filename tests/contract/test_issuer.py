"""Bearers that an OpenID Connect issuer vouches for: which hold, what they allow, and keys that change."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization

from tests.support.access import bearer, make_token
from tests.support.issuer import AUDIENCE, RunningIssuer, new_key, running_issuer
from tests.support.real_servers import PostgresServer, run_apart, wait_for
from tests.support.running_gateway import Gateway, running_gateway
from triptych_gateway.api.access.gate import COOKIE

SESSIONS = "/api/v1/training/sessions"
ABSENT = 2**62


@pytest.fixture(scope="module")
def issuer() -> Iterator[RunningIssuer]:
    with running_issuer() as running:
        running.add("elliptic", "ES256")
        yield running


@pytest.fixture(scope="module")
def gateway(
    postgres: PostgresServer, shared_nats_url: str, issuer: RunningIssuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway that takes the issuer's bearers."""
    name = postgres.create_database()
    with running_gateway(
        database_url=postgres.url(name),
        nats_url=shared_nats_url,
        folder=tmp_path_factory.mktemp("vouched"),
        TRIPTYCH_ACCESS="tokens",
        TRIPTYCH_OIDC_ISSUER=issuer.url,
        TRIPTYCH_OIDC_AUDIENCE=AUDIENCE,
        TRIPTYCH_WRONG_TOKENS_PER_MINUTE="100000",
    ) as running:
        yield running
    postgres.drop_database(name)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx.Client]:
    with gateway.client() as opened:
        yield opened


def status(client: httpx.Client, signed: str) -> int:
    return client.get(SESSIONS, headers=bearer(signed)).status_code


@pytest.mark.parametrize("key_id", ["first", "elliptic"])
def test_a_bearer_of_the_issuer_holds(client: httpx.Client, issuer: RunningIssuer, key_id: str) -> None:
    assert status(client, issuer.bearer(key_id)) == 200
    assert status(client, issuer.bearer(key_id, aud=["another", AUDIENCE])) == 200


@pytest.mark.parametrize(
    ("claims", "allowed"),
    [
        ({"scope": "openid triptych:read"}, ("GET",)),
        ({"scope": "triptych:control"}, ("GET", "POST")),
        ({"scope": "triptych:read triptych:admin"}, ("GET", "POST", "DELETE")),
        ({"scope": ["triptych:control", "email"]}, ("GET", "POST")),
    ],
)
def test_it_allows_what_its_scopes_say(
    client: httpx.Client, issuer: RunningIssuer, claims: dict[str, Any], allowed: tuple[str, ...]
) -> None:
    headers = bearer(issuer.bearer(**claims))
    answers = {
        "GET": client.get(f"{SESSIONS}/{ABSENT}", headers=headers).status_code,
        "POST": client.post(f"{SESSIONS}/{ABSENT}/start", headers=headers).status_code,
        "DELETE": client.delete(f"{SESSIONS}/{ABSENT}", headers=headers).status_code,
    }
    assert answers == {method: 404 if method in allowed else 403 for method in answers}


def public_key(issuer: RunningIssuer) -> bytes:
    return (
        issuer.signing["first"][0]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


WRONG: dict[str, Callable[[RunningIssuer], str]] = {
    "expired": lambda issuer: issuer.bearer(exp=int(time.time()) - 60),
    "not yet": lambda issuer: issuer.bearer(nbf=int(time.time()) + 600),
    "without an end": lambda issuer: issuer.bearer(exp=None),
    "for somebody else": lambda issuer: issuer.bearer(aud="another"),
    "for nobody": lambda issuer: issuer.bearer(aud=None),
    "of another issuer": lambda issuer: issuer.bearer(iss="https://evil.example"),
    "of nobody": lambda issuer: issuer.bearer(sub=None),
    "without a scope of ours": lambda issuer: issuer.bearer(scope="openid email"),
    "a scope by half": lambda issuer: issuer.bearer(scope="triptych:administrator read admin xtriptych:read"),
    "a scope of another kind": lambda issuer: issuer.bearer(scope={"triptych:read": True}),
    "not signed": lambda issuer: issuer.forged({"alg": "none", "kid": "first"}, None),
    "not signed, in other letters": lambda issuer: issuer.forged({"alg": "nOnE", "kid": "first"}, None),
    "signed with the public key as if it were a secret": lambda issuer: issuer.forged(
        {"alg": "HS256", "kid": "first"}, public_key(issuer)
    ),
    "an algorithm that is not allowed": lambda issuer: _by(issuer, "first", "RS512"),
    "an algorithm that the key is not for": lambda issuer: issuer.forged({"alg": "ES256", "kid": "first"}, b"x" * 32),
    "a key that there is not": lambda issuer: _by_stranger(issuer, "unknown"),
    "a stranger's key under a known name": lambda issuer: _by_stranger(issuer, "first"),
    "no key named": lambda issuer: issuer.forged({"alg": "RS256"}, b"x"),
    "a key named by a number": lambda issuer: issuer.forged({"alg": "RS256", "kid": 1}, b"x"),
    "changed after it was signed": lambda issuer: _changed(issuer.bearer(), issuer.bearer(scope="triptych:admin")),
    "without its signature": lambda issuer: issuer.bearer().rpartition(".")[0] + ".",
    "no bearer at all": lambda _: "a.b.c",
}


def _by(issuer: RunningIssuer, key_id: str, algorithm: str) -> str:
    key, usual = issuer.signing[key_id]
    issuer.signing["other"] = key, algorithm
    assert usual != algorithm
    return issuer.bearer("other", header={"kid": key_id})


def _by_stranger(issuer: RunningIssuer, named: str) -> str:
    issuer.signing["stranger"] = new_key(), "RS256"
    return issuer.bearer("stranger", header={"kid": named})


def _changed(signed: str, other: str) -> str:
    header, _, signature = signed.split(".")
    return ".".join((header, other.split(".")[1], signature))


@pytest.mark.parametrize("what", WRONG)
def test_no_other_holds(client: httpx.Client, issuer: RunningIssuer, what: str) -> None:
    assert status(client, WRONG[what](issuer)) == 401


def test_it_is_no_login_of_the_page(client: httpx.Client, issuer: RunningIssuer) -> None:
    signed = issuer.bearer(scope="triptych:admin")

    assert client.get(SESSIONS, headers={"cookie": f"{COOKIE}={signed}"}).status_code == 401
    assert client.post("/api/v1/access/login", json={"token": signed}).status_code in (401, 422)


def test_tokens_of_ours_hold_beside_it(gateway: Gateway, client: httpx.Client) -> None:
    assert status(client, run_apart(make_token(gateway.database_url, "read"))) == 200
    assert status(client, "triptych_wrong") == 401


def test_what_it_had_done_is_recorded_under_its_subject(client: httpx.Client, issuer: RunningIssuer) -> None:
    client.post("/api/v1/categories", json={}, headers=bearer(issuer.bearer(sub="Grandma", scope="triptych:control")))

    admin = bearer(issuer.bearer(scope="triptych:admin"))
    entry = client.get("/api/v1/audit", headers=admin).json()["items"][0]
    assert (entry["caller"], entry["tokenId"], entry["action"]) == ("Grandma", None, "createCategory")


def test_a_new_key_holds_soon_and_an_unknown_one_does_not_have_the_issuer_asked_again_and_again(
    client: httpx.Client, issuer: RunningIssuer
) -> None:
    issuer.add("second")
    wait_for(lambda: status(client, issuer.bearer("second")) == 200, "the new key is known")
    before, began = issuer.readings, time.monotonic()
    for number in range(20):
        assert status(client, _by_stranger(issuer, f"unknown-{number}")) == 401
    # One in five seconds, however many ask.
    assert issuer.readings - before <= (time.monotonic() - began) / 5 + 1


def test_known_keys_go_on_while_the_issuer_is_away(client: httpx.Client, issuer: RunningIssuer) -> None:
    assert status(client, issuer.bearer()) == 200
    issuer.is_away = True
    try:
        assert status(client, issuer.bearer()) == 200
        assert status(client, _by_stranger(issuer, "unknown")) == 401
    finally:
        issuer.is_away = False


def test_a_stream_ends_with_its_bearer(gateway: Gateway, client: httpx.Client, issuer: RunningIssuer) -> None:
    ends_at = int(time.time()) + 3
    with client.stream(
        "GET", "/api/v1/training/progress/stream", headers=bearer(issuer.bearer(exp=ends_at)), timeout=60
    ) as stream:
        assert stream.status_code == 200
        wait_for(lambda: time.time() > ends_at, "the bearer is over")
        with gateway.client() as other:
            other.headers.update(bearer(issuer.bearer(scope="triptych:control")))
            session_id = gateway.create(other)
            other.post(f"{SESSIONS}/{session_id}/start").raise_for_status()
        assert f'"sessionId":{session_id}' not in "".join(stream.iter_text())


def test_an_issuer_that_was_never_there_is_503(
    postgres: PostgresServer, shared_nats_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    name = postgres.create_database()
    with (
        running_issuer() as issuer,
        running_gateway(
            database_url=postgres.url(name),
            nats_url=shared_nats_url,
            folder=tmp_path_factory.mktemp("alone"),
            TRIPTYCH_ACCESS="tokens",
            TRIPTYCH_OIDC_ISSUER=issuer.url,
            TRIPTYCH_OIDC_AUDIENCE=AUDIENCE,
            TRIPTYCH_OIDC_SCOPE_CLAIM="realm_access.roles",
            TRIPTYCH_OIDC_SCOPE_PREFIX="photos-",
        ) as gateway,
        gateway.client() as client,
    ):
        issuer.is_away = True
        signed = issuer.bearer(realm_access={"roles": ["photos-read"]})
        answer = client.get(SESSIONS, headers=bearer(signed))
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service_away")
        assert status(client, run_apart(make_token(gateway.database_url, "read"))) == 200

        issuer.is_away = False
        wait_for(lambda: status(client, signed) == 200, "the issuer is asked again")
        assert status(client, issuer.bearer(scope="triptych:read")) == 401
    postgres.drop_database(name)
