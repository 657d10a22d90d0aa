"""The gate before the interface: who asks, how often, and whether they may; what changes something is recorded."""

import re
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from triptych_common.logging import get_logger
from triptych_gateway.api.access.audit_log import AuditLog
from triptych_gateway.api.access.callers import Caller
from triptych_gateway.api.access.issuer import Issuer, IssuerAwayError, looks_signed
from triptych_gateway.api.access.known_tokens import KnownTokens
from triptych_gateway.api.access.rate_limits import RateLimits, network_of
from triptych_gateway.api.errors import answer
from triptych_gateway.catalog.access.tokens import Scope
from triptych_gateway.catalog.database import DATABASE_AWAY, is_away

log = get_logger(__name__)

COOKIE: Final = "triptych_token"
NOT_KNOWN: Final = "The token is not known, was revoked, or has expired."
"""Told of a secret, whichever of these it is."""
_LOGIN: Final = "/api/v1/access/login"
UNGUARDED: Final = frozenset({_LOGIN, "/api/v1/access/logout"})
"""Paths of the interface that nobody needs a token for."""
_GUARDED: Final = "/api/"
"""The page, the description of the interface and the health check are for everybody."""
_LOOKING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_BEARER: Final = re.compile(r"bearer +([\x21-\x7e]+)", re.IGNORECASE)
_ADMINISTERED: Final = (
    (_LOOKING, re.compile(r"/api/v1/audit/?")),
    ({"DELETE"}, re.compile(r"/api/v1/training/sessions/[^/]+/?")),
    ({"POST"}, re.compile(r"/api/v1/search/index/rebuild/?")),
    ({"POST"}, re.compile(r"/api/v1/privacy/forgettings/?")),
)
_QUESTIONS: Final = frozenset({"/api/v1/search", "/api/v1/training/directories/scan"})
"""Asked by POST for what they carry; they change nothing."""


def needed_scope(method: str, path: str) -> Scope:
    """What a token must allow for a request."""
    if any(method in verbs and which.fullmatch(path) for verbs, which in _ADMINISTERED):
        return "admin"
    return "control" if changes_something(method, path) else "read"


def changes_something(method: str, path: str) -> bool:
    """Whether a request is to change something."""
    return method not in _LOOKING and not (method == "POST" and path.rstrip("/") in _QUESTIONS)


@dataclass(frozen=True)
class _Credential:
    secret: str
    is_cookie: bool
    """A browser sends it by itself, whoever's page asks."""


@dataclass(frozen=True)
class _Refusal:
    """Why a request is not passed on: a code of the catalogue, a sentence, and what goes with them."""

    code: str
    message: str
    wait_seconds: int = 0
    """Until it may be asked again; 0 where that is not what is missing."""

    def headers(self) -> dict[str, str]:
        if self.code == "unauthorized":
            return {"WWW-Authenticate": "Bearer"}
        return {"Retry-After": str(self.wait_seconds)} if self.wait_seconds else {}


@dataclass(frozen=True)
class Guard:
    """What the gate asks where it asks for tokens."""

    tokens: KnownTokens
    limits: RateLimits
    issuer: Issuer | None = None
    """Whose bearers hold beside ours; None where none is set."""


class AccessGate:
    """ASGI middleware. Without a guard, everybody who reaches this process may do everything, as often as they like."""

    def __init__(self, app: ASGIApp, guard: Guard | None, audit_log: AuditLog) -> None:
        self._app = app
        self._guard = guard
        self._audit_log = audit_log

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401, 403 or 429."""
        if scope["type"] != "http" or not scope["path"].startswith(_GUARDED):
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        caller: Caller | None = None
        if self._guard is not None:
            headers = Headers(scope=scope)
            credential = _credential(headers) if path not in UNGUARDED else None
            try:
                caller, refusal = await _asked(self._guard, scope, credential, headers)
            except DATABASE_AWAY as error:
                if not is_away(error):
                    raise
                refusal = _Refusal("database_away", "The database is away; try again in a moment.")
            except IssuerAwayError:
                refusal = _Refusal("service_away", "Who vouches for this bearer is away; try again in a moment.")
            if refusal is not None:
                log.info("refused", code=refusal.code, method=method, path=path, caller=caller.name if caller else None)
                await answer(refusal.code, refusal.message, headers=refusal.headers())(scope, receive, send)
                return
            if caller is not None:
                send = _while_it_holds(send, caller)
        if changes_something(method, path) and path not in UNGUARDED:
            send = self._audit_log.recorded(send, scope, caller)
        await self._app(scope, receive, send)


async def _asked(
    guard: Guard, scope: Connection, credential: _Credential | None, headers: Headers
) -> tuple[Caller | None, _Refusal | None]:
    """Whose request it is, and why it is not to be answered.

    Raises as the database does where it is away, and IssuerAwayError.
    """
    limits, path = guard.limits, scope["path"]
    address = network_of(scope["client"][0] if scope["client"] else "")
    # Who is known without asking the database comes first: nobody else's guesses keep them out.
    caller = await _known(guard, credential)
    if caller is None and (credential is not None or path == _LOGIN):
        wait = await limits.wait_for_attempt(address)
        if wait:
            return None, _too_often(wait, "Too many tokens from this address did not hold.")
    if caller is None and credential is not None and not _is_vouched_for(guard, credential):
        caller = await _of_our_token(guard.tokens, credential.secret)
    wait = await limits.wait_for_request(caller.key if caller is not None else address)
    if wait:
        return caller, _too_often(wait, "Too many requests.")
    if path in UNGUARDED:
        return None, None
    return caller, _refusal(caller, credential, headers, needed_scope(scope["method"], path))


async def _known(guard: Guard, credential: _Credential | None) -> Caller | None:
    """Whoever a credential is of, where that can be told out of memory, or by the issuer's keys."""
    if credential is None:
        return None
    if guard.issuer is not None and _is_vouched_for(guard, credential):
        return await guard.issuer.find(credential.secret)
    return await _of_our_token(guard.tokens, credential.secret) if guard.tokens.holds(credential.secret) else None


def _is_vouched_for(guard: Guard, credential: _Credential) -> bool:
    """Whether it is for the issuer to say. Never in a cookie: a browser sends that by itself, and beyond its end."""
    return guard.issuer is not None and not credential.is_cookie and looks_signed(credential.secret)


async def _of_our_token(tokens: KnownTokens, secret: str) -> Caller | None:
    token = await tokens.find(secret)
    if token is None:
        return None
    return Caller(
        name=token.name,
        key=f"token {token.id}",
        scope=token.scope,
        holds=lambda: tokens.holds(secret),
        token_id=token.id,
    )


def _too_often(wait_seconds: int, what: str) -> _Refusal:
    unit = "second" if wait_seconds == 1 else "seconds"
    return _Refusal("too_many_requests", f"{what} Try again in {wait_seconds} {unit}.", wait_seconds=wait_seconds)


def _credential(headers: Headers) -> _Credential | None:
    if (bearer := _BEARER.fullmatch(headers.get("authorization", "").strip())) is not None:
        return _Credential(bearer[1], is_cookie=False)
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return _Credential(cookie.value, is_cookie=True) if cookie is not None else None


def _refusal(caller: Caller | None, credential: _Credential | None, headers: Headers, needed: Scope) -> _Refusal | None:
    if credential is None:
        return _Refusal(
            "unauthorized",
            "A token is needed: send it as `Authorization: Bearer …`, log in on the page, or set TRIPTYCH_TOKEN for the"
            " command line; `triptych token create` makes one.",
        )
    if caller is None:
        return _Refusal("unauthorized", NOT_KNOWN)
    if not caller.may(needed):
        return _Refusal("forbidden", f"The token's scope is {caller.scope}; this needs {needed}.")
    if credential.is_cookie and needed != "read" and not _is_of_this_origin(headers):
        return _Refusal("forbidden", "A page of another origin may not use this page's login.")
    return None


def _is_of_this_origin(headers: Headers) -> bool:
    """Whether a browser says that the gateway's own page asks (OWASP, Cross-Site Request Forgery Prevention)."""
    if (site := headers.get("sec-fetch-site")) is not None:
        return site == "same-origin"
    return headers.get("origin", "").partition("://")[2] == headers.get("host")


def _while_it_holds(send: Send, caller: Caller) -> Send:
    """Ends an answer that goes on, such as a stream, once its token holds no more."""
    is_over = False

    async def checked(message: Message) -> None:
        nonlocal is_over
        if is_over:
            return
        if message["type"] == "http.response.body" and message.get("more_body") and not caller.holds():
            is_over = True
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await send(message)

    return checked
