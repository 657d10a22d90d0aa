"""Logging in on the page: a token becomes a cookie that scripts cannot read and other sites cannot use."""

from datetime import UTC, datetime
from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from triptych_gateway.api import schemas
from triptych_gateway.api.access.gate import COOKIE, NOT_KNOWN
from triptych_gateway.api.context import Context
from triptych_gateway.api.errors import ApiError, errors

router = APIRouter(prefix="/api/v1/access", tags=["access"])

_COOKIE_PATH = "/api"
_LONGEST_SECONDS = 400 * 86400
"""What browsers keep a cookie at most (RFC 6265bis)."""


@router.post("/login", responses=errors("unauthorized", "not_allowed_now"))
async def log_in(body: schemas.Login, request: Request, response: Response, context: Context) -> schemas.LoggedIn:
    """Have the browser send this token from now on."""
    if context.tokens is None:
        raise ApiError("not_allowed_now", "No token is asked for here.", details={"status": "open", "allowed": []})
    token = await context.tokens.find(body.token)
    if token is None:
        raise ApiError("unauthorized", NOT_KNOWN)
    left = (token.expires_at - datetime.now(UTC)).total_seconds() if token.expires_at is not None else _LONGEST_SECONDS
    response.set_cookie(
        COOKIE,
        body.token,
        max_age=min(int(left), _LONGEST_SECONDS),
        path=_COOKIE_PATH,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return schemas.LoggedIn(name=token.name, scope=token.scope, expires_at=token.expires_at)


@router.post("/logout", status_code=HTTPStatus.NO_CONTENT)
async def log_out(response: Response) -> None:
    """Have the browser forget its token."""
    response.delete_cookie(COOKIE, path=_COOKIE_PATH, httponly=True, samesite="strict")
