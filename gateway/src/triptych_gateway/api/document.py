"""The OpenAPI document: what FastAPI knows of the endpoints, with their errors, tags and examples made true."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic.alias_generators import to_camel

from triptych_gateway.api import schemas
from triptych_gateway.api.access.gate import COOKIE, UNGUARDED, needed_scope
from triptych_gateway.api.errors import CATALOGUE, CODES_KEY, RETRY_AFTER_SECONDS
from triptych_gateway.api.examples import EXAMPLES

Json = dict[str, Any]

METHODS: Final = ("get", "post", "put", "patch", "delete")
INTERFACE: Final = "/api/v1/"
"""Paths elsewhere are answered from memory: they need neither parameters nor the database."""
TAGS: Final[Mapping[str, str]] = {
    "training": "Sessions, which train on the photos of some directories, and their buttons.",
    "progress": "The one honest progress of a session: asked for, or as a stream of Server-Sent Events.",
    "jobs": "A session's photos, one job each.",
    "directories": "Directories under the media roots: listed, scanned, previewed, ignored.",
    "categories": "Categories of sessions.",
    "faces": "Faces, and the groups that clustering found.",
    "persons": "Persons: groups that somebody may have named, and corrections by hand.",
    "search": "Photos that are like a text or another photo.",
    "images": "Photos, and pictures of them.",
    "privacy": "Forgetting persons, photos and sessions, with everything that was kept of them.",
    "access": "Logging in on the page, where tokens are asked for.",
    "audit": "Who had what done.",
    "health": "Whether the gateway and what is behind it are there.",
}
_ABOUT: Final = """JSON keys are camelCase; request bodies accept snake_case too. Query parameters are snake_case.
Times are ISO 8601 in UTC with a trailing `Z`. A page is `{items, total, page, pageSize, hasMore}` and begins at 1.
Every key of an answer is always present, and null where it is unknown; keys may be added, never removed.

Pictures are answered to HEAD as to GET, without the picture.

Every error is the object `Error`, whose `error.code` is one of `ErrorCode`. A wrong method is `405` on every path,
and `500` is a defect."""
_CREDENTIALS: Final = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token of `triptych token create`."},
    "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "Set by logging in on the page."},
}
"""Asked for where other machines can reach the gateway, and wherever it is set up so."""
_NOT_DESCRIBED: Final = "Successful Response"
"""What FastAPI says of an answer of which nothing else is said."""
_ERROR: Final = {"$ref": "#/components/schemas/Error"}


def operation_name(route: APIRoute) -> str:
    """The id of an operation: its function's name, as JavaScript spells names."""
    return to_camel(route.name)


class DescribedApi(FastAPI):
    """An application that describes itself as this module has it."""

    def __init__(self) -> None:
        super().__init__(
            title="Triptych",
            version="1.0.0",
            summary="Trains on a photo library and shows one honest progress for all of it.",
            description=_ABOUT,
            # FastAPI's own pages have a browser fetch their scripts from elsewhere; see `description.py`.
            docs_url=None,
            redoc_url=None,
            # So that the models of errors are part of the document; the rest of them is made below.
            responses={503: {"model": schemas.Error}},
            generate_unique_id_function=operation_name,
            # It writes queries and errors' messages into spans, and so names of directories; `api/tracing.py` does not.
            telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
        )

    def openapi(self) -> Json:
        """The document. Made once."""
        if self.openapi_schema is None:
            self.openapi_schema = _completed(super().openapi())
        return self.openapi_schema


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Path, method and operation, one after another."""
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                yield path, method, methods[method]


def _completed(document: Json) -> Json:
    components: Json = document["components"]["schemas"]
    for path, method, operation in operations(document):
        operation["responses"] = _responses(path, method, operation)
        if path.startswith(INTERFACE) and path not in UNGUARDED:
            operation["security"] = [{}, {"token": []}, {"cookie": []}]
        for parameter in operation.get("parameters", ()):
            parameter["schema"].pop("title", None)
        for answer in operation["responses"].values():
            if answer["description"] == _NOT_DESCRIBED:
                answer["description"] = _about_body(answer, components)
    document["components"]["securitySchemes"] = _CREDENTIALS
    used = {tag for _, _, operation in operations(document) for tag in operation["tags"]}
    document["tags"] = [{"name": name, "description": text} for name, text in TAGS.items() if name in used]
    for unused in ("HTTPValidationError", "ValidationError"):
        components.pop(unused, None)
    components["ErrorCode"] = {
        "type": "string",
        "enum": sorted(CATALOGUE),
        "description": "What went wrong.\n\n"
        + "\n".join(f"- `{code}` ({kind.status}): {kind.meaning}" for code, kind in sorted(CATALOGUE.items())),
    }
    components["ErrorBody"]["properties"]["code"] = {"$ref": "#/components/schemas/ErrorCode"}
    for component in components.values():
        # Titles that are the names of the keys, in other letters, tell nobody anything.
        for field in component.get("properties", {}).values():
            field.pop("title", None)
    for name, example in EXAMPLES.items():
        if name in components:
            components[name]["examples"] = [example]
    return document


def _about_body(answer: Json, components: Json) -> str:
    """What is answered, in the words of its schema."""
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    name = schema.get("$ref", "").rpartition("/")[2]
    return str(components[name]["description"]).partition("\n")[0] if name else "Done."


def _responses(path: str, method: str, operation: Json) -> Json:
    """What an operation answers: its own answers as they are, its errors each with their codes."""
    good = {status: answer for status, answer in operation["responses"].items() if status < "400"}
    codes = [code for answer in operation["responses"].values() for code in answer.get(CODES_KEY, ())]
    parameters = operation.get("parameters", [])
    if any(one["in"] == "path" for one in parameters):
        codes.append("not_found")
    if parameters or "requestBody" in operation:
        codes.append("invalid_request")
    if "requestBody" in operation:
        codes.append("body_too_large")
    if path.startswith(INTERFACE):
        codes += ["too_many_requests", "database_away"]
        if path not in UNGUARDED:
            codes += ["unauthorized"] if needed_scope(method.upper(), path) == "read" else ["unauthorized", "forbidden"]
    by_status: dict[str, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(str(CATALOGUE[code].status), []).append(code)
    return good | {status: _error(status, of_status) for status, of_status in sorted(by_status.items())}


def _error(status: str, codes: list[str]) -> Json:
    answer: Json = {
        "description": " ".join(f"`{code}`: {CATALOGUE[code].meaning}" for code in codes),
        CODES_KEY: codes,
        "content": {"application/json": {"schema": _ERROR, "examples": {code: _example(code) for code in codes}}},
    }
    if status in ("429", "503"):
        answer["headers"] = {
            "Retry-After": {
                "description": "Seconds to wait before the next try.",
                "schema": {"type": "integer", "example": RETRY_AFTER_SECONDS},
            }
        }
    return answer


def _example(code: str) -> Json:
    message = CATALOGUE[code].meaning.partition(";")[0].removesuffix(".") + "."
    return {
        "value": {"detail": message, "message": message, "error": {"code": code, "message": message, "details": {}}}
    }
