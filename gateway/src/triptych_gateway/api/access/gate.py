"""The gate before the interface: who asks, whether they may, and a line in the log for whatever changes something."""

import re
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from triptych_common.logging import get_logger
from triptych_gateway.api.access.known_tokens import KnownTokens
from triptych_gateway.api.errors import answer
from triptych_gateway.catalog.access.tokens import Scope, Token
from triptych_gateway.catalog.database import DATABASE_AWAY, is_away

log = get_logger(__name__)

COOKIE: Final = "triptych_token"
NOT_KNOWN: Final = "The token is not known, was revoked, or has expired."
"""Told of a secret, whichever of these it is."""
UNGUARDED: Final = frozenset({"/api/v1/access/login", "/api/v1/access/logout"})
"""Paths of the interface that nobody needs a token for."""
_GUARDED: Final = "/api/"
"""The page, the description of the interface and the health check are for everybody."""
_LOOKING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_BEARER: Final = re.compile(r"bearer +([\x21-\x7e]+)", re.IGNORECASE)
_ADMINISTERED: Final = (
    ("DELETE", re.compile(r"/api/v1/training/sessions/[^/]+/?")),
    ("POST", re.compile(r"/api/v1/search/index/rebuild/?")),
)
_QUESTIONS: Final = frozenset({"/api/v1/search", "/api/v1/training/directories/scan"})
"""Asked by POST for what they carry; they change nothing."""


def needed_scope(method: str, path: str) -> Scope:
    """What a token must allow for a request."""
    if method in _LOOKING or (method == "POST" and path.rstrip("/") in _QUESTIONS):
        return "read"
    return "admin" if any(method == verb and which.fullmatch(path) for verb, which in _ADMINISTERED) else "control"


@dataclass(frozen=True)
class _Credential:
    secret: str
    is_cookie: bool
    """A browser sends it by itself, whoever's page asks."""


class AccessGate:
    """ASGI middleware. Without ``tokens``, everybody who reaches this process may do everything."""

    def __init__(self, app: ASGIApp, tokens: KnownTokens | None) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401 or 403."""
        if scope["type"] != "http" or not scope["path"].startswith(_GUARDED):
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        token: Token | None = None
        if self._tokens is not None and path not in UNGUARDED:
            headers = Headers(scope=scope)
            credential = _credential(headers)
            try:
                token = await self._tokens.find(credential.secret) if credential is not None else None
            except DATABASE_AWAY as error:
                if not is_away(error):
                    raise
                await answer("database_away", "The database is away; try again in a moment.")(scope, receive, send)
                return
            refusal = _refusal(token, credential, headers, needed_scope(method, path))
            if refusal is not None:
                code, message = refusal
                told = {"WWW-Authenticate": "Bearer"} if code == "unauthorized" else {}
                log.info("refused", code=code, method=method, path=path, token=token.name if token else None)
                await answer(code, message, headers=told)(scope, receive, send)
                return
            if credential is not None:
                send = _while_it_holds(send, self._tokens, credential.secret)
        await self._app(scope, receive, send if method in _LOOKING else _noted(send, method, path, token))


def _credential(headers: Headers) -> _Credential | None:
    if (bearer := _BEARER.fullmatch(headers.get("authorization", "").strip())) is not None:
        return _Credential(bearer[1], is_cookie=False)
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return _Credential(cookie.value, is_cookie=True) if cookie is not None else None


def _refusal(
    token: Token | None, credential: _Credential | None, headers: Headers, needed: Scope
) -> tuple[str, str] | None:
    """Code and sentence, where the request is not to be answered."""
    if credential is None:
        return "unauthorized", (
            "A token is needed: send it as `Authorization: Bearer …`, log in on the page, or set TRIPTYCH_TOKEN for the"
            " command line; `triptych token create` makes one."
        )
    if token is None:
        return "unauthorized", NOT_KNOWN
    if not token.may(needed):
        return "forbidden", f"The token's scope is {token.scope}; this needs {needed}."
    if credential.is_cookie and needed != "read" and not _is_of_this_origin(headers):
        return "forbidden", "A page of another origin may not use this page's login."
    return None


def _is_of_this_origin(headers: Headers) -> bool:
    """Whether a browser says that the gateway's own page asks (OWASP, Cross-Site Request Forgery Prevention)."""
    if (site := headers.get("sec-fetch-site")) is not None:
        return site == "same-origin"
    return headers.get("origin", "").partition("://")[2] == headers.get("host")


def _while_it_holds(send: Send, tokens: KnownTokens, secret: str) -> Send:
    """Ends an answer that goes on, such as a stream, once its token holds no more."""
    is_over = False

    async def checked(message: Message) -> None:
        nonlocal is_over
        if is_over:
            return
        if message["type"] == "http.response.body" and message.get("more_body") and not tokens.holds(secret):
            is_over = True
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await send(message)

    return checked


def _noted(send: Send, method: str, path: str, token: Token | None) -> Send:
    """Tells the log who asked for a change, and how that was answered."""

    async def noted(message: Message) -> None:
        if message["type"] == "http.response.start":
            who = {"token": token.name, "token_id": token.id} if token is not None else {"token": None}
            log.info("asked for a change", method=method, path=path, status=message["status"], **who)
        await send(message)

    return noted
