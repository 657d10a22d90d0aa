"""Every kind of caller: what each sends along."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.support.access import bearer
from tests.support.issuer import RunningIssuer
from tests.support.real_servers import run_apart
from triptych_gateway.api.access.gate import COOKIE
from triptych_gateway.catalog.access.tokens import SCOPES, create_token, revoke_token
from triptych_gateway.catalog.database import create_engine

FOREIGN: Final = "https://evil.example"
"""An origin whose pages may not read what the gateway answers."""
_THIS_PAGE: Final = {"sec-fetch-site": "same-origin"}
_FOREIGN_PAGE: Final = {"sec-fetch-site": "cross-site", "origin": FOREIGN}

_ENDED: Final = {"expired": "an", "revoked": "a"}
"""Tokens that are over → their article."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """What a caller sends with each request."""

    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


def all_callers(database_url: str, issuer: RunningIssuer) -> dict[str, Caller]:
    """By the names of the page; makes the tokens and bearers that they need."""
    secrets = run_apart(_make_tokens(database_url))
    unknown = "triptych_" + "x" * 43
    ended = {}
    for which, article in _ENDED.items():
        ended[f"{article} {which} token"] = Caller(headers=bearer(secrets[which]))
        ended[f"{which} cookie, this page"] = Caller(headers=_cookie(secrets[which], _THIS_PAGE))
    return (
        {
            "nobody": Caller(),
            "a token that nobody was given": Caller(headers=bearer(unknown)),
            "a token under another scheme": Caller(headers={"authorization": f"Basic {secrets['admin']}"}),
            "a token in the query": Caller(query={"token": secrets["admin"], "access_token": secrets["admin"]}),
            "a cookie that nobody was given": Caller(headers=_cookie(unknown, _THIS_PAGE)),
            "admin cookie, another page of this site": Caller(
                headers=_cookie(secrets["admin"], {"sec-fetch-site": "same-site"})
            ),
            "admin cookie, a page without origin": Caller(headers=_cookie(secrets["admin"], {"origin": "null"})),
            "admin cookie with a wrong token": Caller(headers=_cookie(secrets["admin"], _THIS_PAGE) | bearer(unknown)),
        }
        | ended
        | _vouched_for(issuer)
        | {name: caller for scope in SCOPES for name, caller in _of_scope(scope, secrets[scope]).items()}
    )


def _vouched_for(issuer: RunningIssuer) -> dict[str, Caller]:
    admin = "triptych:admin"
    signed = {
        **{f"{scope} bearer of the issuer": issuer.bearer(scope=f"triptych:{scope}") for scope in SCOPES},
        "bearer of the issuer without a scope": issuer.bearer(scope="openid"),
        "expired bearer of the issuer": issuer.bearer(scope=admin, exp=1),
        "bearer of the issuer for somebody else": issuer.bearer(scope=admin, aud="another"),
        "bearer of another issuer": issuer.bearer(scope=admin, iss=FOREIGN),
        "bearer that nobody signed": issuer.forged({"alg": "none", "kid": "first"}, None, scope=admin),
    }
    callers = {name: Caller(headers=bearer(secret)) for name, secret in signed.items()}
    cookie = Caller(headers=_cookie(issuer.bearer(scope=admin), _THIS_PAGE))
    return callers | {"admin bearer of the issuer as a cookie, this page": cookie}


def _of_scope(scope: str, secret: str) -> dict[str, Caller]:
    callers = {
        f"{scope} token": Caller(headers=bearer(secret)),
        f"{scope} token, from another site's page": Caller(headers=bearer(secret) | _FOREIGN_PAGE),
        f"{scope} cookie, this page": Caller(headers=_cookie(secret, _THIS_PAGE)),
    }
    # To one that may only look, a proof changes nothing.
    if scope != "read":
        callers[f"{scope} cookie, without proof"] = Caller(headers=_cookie(secret, {}))
        callers[f"{scope} cookie, another site's page"] = Caller(headers=_cookie(secret, _FOREIGN_PAGE))
    return callers


async def _make_tokens(database_url: str) -> dict[str, str]:
    engine = create_engine(database_url)
    secrets: dict[str, str] = {}
    async with engine.begin() as connection:
        for scope in SCOPES:
            _, secrets[scope] = await create_token(connection, name=scope, scope=scope, expires_at=None)
        over = datetime.now(UTC) - timedelta(seconds=1)
        _, secrets["expired"] = await create_token(connection, name="expired", scope="admin", expires_at=over)
        token, secrets["revoked"] = await create_token(connection, name="revoked", scope="admin", expires_at=None)
        await revoke_token(connection, token.id)
    await engine.dispose()
    return secrets


def _cookie(secret: str, more: Mapping[str, str]) -> dict[str, str]:
    return {"cookie": f"{COOKIE}={secret}", **more}
