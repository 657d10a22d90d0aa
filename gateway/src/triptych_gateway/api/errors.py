"""One catalogue of errors, and the one object in which each is answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from triptych_common.errors import AwayError
from triptych_common.logging import get_logger
from triptych_gateway.api.schemas import Error, ErrorBody
from triptych_gateway.catalog.database import DATABASE_AWAY, is_away
from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.sessions.categories import NameTakenError
from triptych_gateway.catalog.states import NotAllowedError

log = get_logger(__name__)


@dataclass(frozen=True)
class Kind:
    """What a code means, what to do about it, and the HTTP status under which it is answered."""

    status: int
    meaning: str
    remedy: str


CATALOGUE: Final[Mapping[str, Kind]] = {
    "path_not_allowed": Kind(
        400,
        "The path is not under a media root; nothing is told about what is there.",
        "Choose a directory under a media root, or add one to `TRIPTYCH_MEDIA_ROOTS`.",
    ),
    "directory_not_found": Kind(
        400,
        "The directory does not exist.",
        "Name one that is there; `GET /api/v1/directories` lists them.",
    ),
    "directory_not_readable": Kind(
        400,
        "The directory cannot be read.",
        "Let the gateway's user read it.",
    ),
    "not_a_directory": Kind(
        400,
        "The path names a file where a directory is needed.",
        "Name the directory that it lies in.",
    ),
    "photo_not_found": Kind(
        400,
        "There is no file under the path of a photo.",
        "Name a photo that is there.",
    ),
    "picture_unreadable": Kind(
        400,
        "The uploaded picture cannot be decoded; `details` has the `reason`.",
        "Upload a picture of a usual format, whole.",
    ),
    "unauthorized": Kind(
        401,
        "A token is asked for, and this request has none that holds.",
        "Send a token as `Authorization: Bearer …`; `triptych token create` makes one.",
    ),
    "forbidden": Kind(
        403,
        "The token does not allow it, or a page of another origin asks with this page's login.",
        "Use a token with the right that `message` names.",
    ),
    "not_found": Kind(
        404,
        "There is nothing under this id or path.",
        "Look in the list that it should be in: it may have been deleted.",
    ),
    "method_not_allowed": Kind(
        405,
        "The path does not take this method; `Allow` names those that it takes.",
        "Use one of those.",
    ),
    "not_allowed_now": Kind(
        409,
        "The present state does not allow it; `details` has `status` and what is `allowed`.",
        "Do one of those, or wait until the state has changed.",
    ),
    "already_ignored": Kind(
        409,
        "The directory is ignored already.",
        "Nothing need be done.",
    ),
    "name_taken": Kind(
        409,
        "Another one has that name already.",
        "Choose another name.",
    ),
    "no_text_tower": Kind(
        409,
        "The model cannot read text; search by a photo instead.",
        "Search by a photo, or choose a CLIP model: `triptych models use production`.",
    ),
    "not_embedded": Kind(
        409,
        "The photo has no embedding of the `model` in `details`, which is searched; there `otherModels` has one.",
        "Train a session with this photo, or search with another `model`.",
    ),
    "image_unreadable": Kind(
        409,
        "The photo is gone or cannot be decoded; `details` has the `reason`.",
        "See to the file; the `reason` is one of the codes for photos.",
    ),
    "body_too_large": Kind(
        413,
        "The body is larger than is read.",
        "Send less; a picture may be made smaller.",
    ),
    "invalid_request": Kind(
        422,
        "A parameter or the body is not as described; `detail` lists what is wrong.",
        "Change what `detail` names; `/docs` describes every request.",
    ),
    "too_many_requests": Kind(
        429,
        "One token, or one address without one, asks too often; try again after `Retry-After` seconds.",
        "Wait so long; a program that asks all the time should follow the stream in place of polling.",
    ),
    "internal_error": Kind(
        500,
        "A defect of Triptych; its log has the details.",
        "Look for the request in the gateway's log, and report it with what `triptych diagnose` collects.",
    ),
    "database_away": Kind(
        503,
        "The database is away; try again after `Retry-After` seconds.",
        "See to PostgreSQL; what runs goes on by itself once it answers.",
    ),
    "service_away": Kind(
        503,
        "A service behind the gateway is away; try again after `Retry-After` seconds.",
        "See that the service runs: `triptych doctor`, or its log.",
    ),
}
"""Every code that is answered."""

STATUSES: Final[Mapping[str, int]] = {code: kind.status for code, kind in CATALOGUE.items()}
"""Code → HTTP status."""
CODES_KEY: Final = "x-error-codes"
"""Under which an answer in the OpenAPI document lists its codes."""
RETRY_AFTER_SECONDS: Final = 2


def errors(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of an endpoint that may answer these codes, beside those that the document derives by itself.

    Raises KeyError for a code that is not in the catalogue.
    """
    by_status: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        by_status.setdefault(STATUSES[code], {CODES_KEY: []})[CODES_KEY].append(code)
    return by_status


class ApiError(Exception):
    """An error of the catalogue, with one sentence for a person."""

    def __init__(self, code: str, message: str, *, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = dict(details or {})


def answer(
    code: str,
    message: str,
    *,
    status: int | None = None,
    detail: Any = None,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The error object of the contract: for FastAPI's readers, for people and for programs."""
    status = status if status is not None else STATUSES[code]
    body = Error(
        detail=message if detail is None else detail,
        message=message,
        error=ErrorBody(code=code, message=message, details=dict(details or {})),
    )
    sent = {**(headers or {}), **({"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else {})}
    return JSONResponse(body.model_dump(by_alias=True, mode="json"), status_code=status, headers=sent)


def install_error_handlers(app: FastAPI) -> None:
    """Answer every error in the contract's form; never a stack trace."""

    @app.exception_handler(ApiError)
    async def _api_error(_: Request, error: ApiError) -> JSONResponse:
        return answer(error.code, error.message, details=error.details)

    @app.exception_handler(NotFoundError)
    async def _not_found(_: Request, error: NotFoundError) -> JSONResponse:
        return answer("not_found", str(error))

    @app.exception_handler(NotAllowedError)
    async def _not_allowed(_: Request, error: NotAllowedError) -> JSONResponse:
        return answer("not_allowed_now", str(error), details={"status": error.status, "allowed": list(error.allowed)})

    @app.exception_handler(NameTakenError)
    async def _name_taken(_: Request, error: NameTakenError) -> JSONResponse:
        return answer("name_taken", str(error))

    @app.exception_handler(AwayError)
    async def _service_away(_: Request, error: AwayError) -> JSONResponse:
        log.warning("request failed: a service is away", error=error.message)
        return answer("service_away", error.message)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        problems = [{"loc": list(one["loc"]), "msg": one["msg"], "type": one["type"]} for one in error.errors()]
        return answer("invalid_request", _sentence(problems[0]), detail=problems)

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        code = {401: "unauthorized", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}.get(
            error.status_code, "invalid_request"
        )
        # 400 is the framework's word for a body that is no text.
        status = STATUSES[code] if error.status_code == 400 else error.status_code
        return answer(code, str(error.detail), status=status, headers=error.headers)

    async def _away(request: Request, error: Exception) -> JSONResponse:
        if not is_away(error):
            return await _defect(request, error)
        log.warning("request failed: the database is away", error=repr(error))
        return answer("database_away", "The database is away; try again in a moment.")

    @app.exception_handler(Exception)
    async def _defect(_: Request, error: Exception) -> JSONResponse:
        log.error("request failed by a defect", exc_info=error)
        return answer("internal_error", "Triptych failed at this request; its log has the details.")

    for kind in DATABASE_AWAY:
        app.add_exception_handler(kind, _away)


def _sentence(problem: Mapping[str, Any]) -> str:
    """What is wrong with a request, in one sentence."""
    if problem["type"] == "json_invalid":
        return "The body is not valid JSON."
    where = ".".join(str(part) for part in problem["loc"][1:]) or "the request"
    return f"{where}: {problem['msg']}."
