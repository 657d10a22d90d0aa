"""Bearers that an OpenID Connect issuer vouches for, instead of tokens of ours: checked by the issuer's public keys."""

import asyncio
import json
import math
import time
from collections.abc import Mapping
from typing import Any, Final

import httpx
import jwt

from triptych_common.logging import get_logger
from triptych_gateway.api.access.callers import Caller
from triptych_gateway.catalog.access.tokens import SCOPES, Scope

log = get_logger(__name__)

_DISCOVERY: Final = "/.well-known/openid-configuration"
_KEPT_SECONDS: Final = 600.0
"""After which the keys are read again, so that those that the issuer took back end."""
_SOONEST_SECONDS: Final = 5.0
"""Least time between two readings: bearers that name keys that there are not cost the issuer no more than that."""
_ANSWER_SECONDS: Final = 5.0
_LEEWAY_SECONDS: Final = 10.0
"""By which clocks may differ."""
_LONGEST_NAME: Final = 200
_REQUIRED: Final = ("exp", "iat", "iss", "aud", "sub")


class IssuerAwayError(Exception):
    """The issuer's keys are not known, and cannot be had."""


class Issuer:
    """Checks bearers. An async context manager: inside, the issuer may be asked for its keys."""

    def __init__(
        self, *, url: str, audience: str, keys_url: str | None, algorithms: tuple[str, ...], claim: str, prefix: str
    ) -> None:
        """``claim`` names where scopes are, with dots between names; of each the ``prefix`` is taken away.

        Without ``keys_url`` the issuer's own description names it (OpenID Connect Discovery 1.0).
        """
        self._url = url
        self._audience = audience
        self._keys_url = keys_url
        self._algorithms = algorithms
        self._claim = tuple(claim.split("."))
        self._prefix = prefix
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._read_at = -math.inf
        self._tried_at = -math.inf
        self._reading = asyncio.Lock()
        self._http = httpx.AsyncClient(timeout=_ANSWER_SECONDS, follow_redirects=False)

    async def __aenter__(self) -> "Issuer":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def find(self, bearer: str) -> Caller | None:
        """Whom a bearer is of; None where it does not hold, or allows nothing here. Raises IssuerAwayError."""
        try:
            header = jwt.get_unverified_header(bearer)
            if header.get("alg") not in self._algorithms:
                return None
            key = await self._key(header.get("kid"))
            claims = self._verified(bearer, key) if key is not None else None
        except jwt.PyJWTError as error:
            log.debug("a bearer does not hold", error=repr(error))
            return None
        scope = self._scope(claims) if claims is not None else None
        if claims is None or scope is None:
            return None
        ends_at = float(claims["exp"])
        subject = str(claims["sub"])
        return Caller(
            name=subject[:_LONGEST_NAME], key=f"subject {subject}", scope=scope, holds=lambda: time.time() < ends_at
        )

    def _verified(self, bearer: str, key: jwt.PyJWK) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(
            bearer,
            key,
            algorithms=list(self._algorithms),
            issuer=self._url,
            audience=self._audience,
            leeway=_LEEWAY_SECONDS,
            options={"require": list(_REQUIRED), "enforce_minimum_key_length": True},
        )
        return claims

    def _scope(self, claims: Mapping[str, Any]) -> Scope | None:
        """The largest scope that the claim names, as a text with spaces between (RFC 8693) or as a list."""
        value: Any = claims
        for name in self._claim:
            value = value.get(name) if isinstance(value, dict) else None
        named = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
        return next((scope for scope in reversed(SCOPES) if f"{self._prefix}{scope}" in named), None)

    async def _key(self, key_id: Any) -> jwt.PyJWK | None:
        """The issuer's key of that id; one that is not known is looked for. Raises IssuerAwayError."""
        is_known = isinstance(key_id, str) and key_id in self._keys
        if not is_known or time.monotonic() - self._read_at > _KEPT_SECONDS:
            await self._read_keys()
        return self._keys.get(key_id) if isinstance(key_id, str) else None

    async def _read_keys(self) -> None:
        """Read the keys, unless that was tried a moment ago. Raises IssuerAwayError where none are known afterwards."""
        async with self._reading:
            if time.monotonic() - self._tried_at >= _SOONEST_SECONDS:
                self._tried_at = time.monotonic()
                try:
                    self._keys = await self._fetch()
                    self._read_at = time.monotonic()
                except (httpx.HTTPError, ValueError, KeyError, TypeError, jwt.PyJWTError) as error:
                    log.warning("the issuer's keys cannot be read", issuer=self._url, error=repr(error))
        if not self._keys or time.monotonic() - self._read_at > 2 * _KEPT_SECONDS:
            raise IssuerAwayError

    async def _fetch(self) -> Mapping[str, jwt.PyJWK]:
        keys_url = self._keys_url
        if keys_url is None:
            described = await self._get(self._url.rstrip("/") + _DISCOVERY)
            if described["issuer"] != self._url:
                raise ValueError(f"{self._url} describes itself as {described['issuer']}")
            keys_url = str(described["jwks_uri"])
        published = jwt.PyJWKSet.from_dict(await self._get(keys_url))
        return {
            key.key_id: key
            for key in published.keys
            if key.key_id is not None and key.public_key_use in (None, "sig") and key.algorithm_name in self._algorithms
        }

    async def _get(self, url: str) -> dict[str, Any]:
        answer = (await self._http.get(url)).raise_for_status()
        content: dict[str, Any] = json.loads(answer.content)
        return content


def looks_signed(bearer: str) -> bool:
    """Whether a bearer is a signed token (JWS, RFC 7515), which ours are not."""
    return bearer.count(".") == 2
