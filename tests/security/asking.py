"""Every cell of the table, asked of a gateway: what a caller is answered by a route."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tests.security.callers import Caller
from tests.security.library import ABSENT, Library
from tests.security.routes import parameters_of
from tests.security.table import NOTHING, PASSES, Table
from triptych_gateway.api.errors import CATALOGUE
from triptych_gateway.cli.plain_http import NO_AUTHORITIES

_REFUSED_AT_ONCE: Final = 64
"""Each waits until the gateway has looked for its token."""
_ANSWERED_AT_ONCE: Final = 8
"""Each uses the database."""
_REFUSALS: Final = {str(kind.status): code for code, kind in CATALOGUE.items() if code in ("unauthorized", "forbidden")}
_LOOKING: Final = ("GET", "HEAD")
DETOURS: Final = {
    "nobody, two slashes": "//{path}",
    "nobody, a dot": "/./{path}",
    "nobody, by way of the description": "/docs/../{path}",
    "nobody, by way of the description, encoded": "/docs/%2e%2e/{path}",
    "nobody, a backslash": "/%5C{path}",
    "nobody, a slash at the end": "/{path}/",
    "nobody, a parameter": "/{path};a=b",
    "nobody, a NUL": "/{path}%00",
}
"""Other spellings of a path."""
PATHS: Final = {
    "GET /api/v1/training/directories": "path",
    "GET /api/v1/training/directories/preview": "path",
    "GET /api/v1/training/directories/preview/thumbnail": "path",
    "POST /api/v1/training/directories/scan": "rootPath",
    "POST /api/v1/training/directories/ignore": "path",
    "DELETE /api/v1/training/directories/ignore": "path",
    "POST /api/v1/training/sessions": "rootPath",
}
"""Routes that take the path of something on the machine → under which name."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A caller at a route."""

    route: str
    caller: str
    expected: str
    problem: str | None = None
    """What is wrong with the answer."""


@dataclass(frozen=True, kw_only=True)
class _Answer:
    status: int
    code: str | None
    content: bytes
    headers: httpx.Headers


class Asking:
    """Asks a gateway, several requests at once."""

    def __init__(self, client: httpx.AsyncClient, library: Library) -> None:
        self._client = client
        self._library = library
        self._answers = asyncio.Semaphore(_ANSWERED_AT_ONCE)
        self._refusals = asyncio.Semaphore(_REFUSED_AT_ONCE)

    async def cell(self, route: str, name: str, caller: Caller, expected: str) -> Cell:
        """Ask for what is there, where that is to be refused or changes nothing; else for what is not there."""
        method = route.partition(" ")[0]
        looks = method in _LOOKING
        if expected == PASSES:
            async with self._answers:
                problem = _unlike_an_answer(await self.ask(route, caller, there=looks), looks=looks)
        else:
            async with self._refusals:
                answers = [await self.ask(route, caller, there=there) for there in (True, False)]
            problem = _unlike_a_refusal(answers, expected, has_body=method != "HEAD")
        return Cell(route=route, caller=name, expected=expected, problem=problem)

    async def ask(self, route: str, caller: Caller, *, there: bool) -> _Answer:
        """One request; of a stream, its beginning."""
        method, path = route.split(" ")
        ids = self._library.ids
        path = path.format_map({name: ids[name] if there else ABSENT for name in parameters_of(route)})
        query = dict(caller.query)
        if "/preview" in path:
            photo = self._library.photo if there else self._library.folder / "absent.jpg"
            query["path"] = str(photo if path.endswith("thumbnail") else photo.parent)
        async with self._answered(method, path, caller.headers, query) as answer:
            is_error = answer.status_code >= httpx.codes.BAD_REQUEST
            content = await answer.aread() if is_error else b""
            code = answer.json()["error"]["code"] if content else None
            return _Answer(status=answer.status_code, code=code, content=content, headers=answer.headers)

    async def detour(self, route: str, name: str, way: str) -> Cell:
        """Nobody, at another spelling of a route's path: whatever that is answered, it is not what the route has."""
        method, path = route.split(" ")
        spelt = way.format(path=path.format_map(self._library.ids).removeprefix("/"))
        async with self._refusals, self._answered(method, spelt, {}, {}) as answer:
            is_answered = answer.status_code < httpx.codes.MULTIPLE_CHOICES
        problem = f"{spelt} is answered: {answer.status_code}" if is_answered else None
        return Cell(route=route, caller=name, expected="no answer", problem=problem)

    async def hidden_path(self, route: str, kind: str, named: Sequence[str], caller: Caller) -> Cell:
        """Paths outside the media roots, there or not: all are answered alike."""
        method, path = route.split(" ")
        key = PATHS[route]
        answers = set()
        for one in named:
            query = {key: one} if method == "GET" else {}
            body = None if method == "GET" else {"name": "n", key: one}
            async with self._answers:
                answer = await self._client.request(method, path, headers=caller.headers, params=query, json=body)
            answers.add((answer.status_code, answer.json()["error"]["code"], answer.content))
        is_alike = len(answers) == 1 and {told[:2] for told in answers} == {(400, "path_not_allowed")}
        problem = None if is_alike else f"not alike: {sorted(told[:2] for told in answers)}"
        return Cell(route=route, caller=kind, expected="path_not_allowed", problem=problem)

    @asynccontextmanager
    async def _answered(
        self, method: str, path: str, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> AsyncIterator[httpx.Response]:
        # Nothing that is described: whoever gets as far as that is told what is wrong with it.
        body: dict[str, str] | None = {} if method in ("POST", "PATCH") else None
        async with self._client.stream(method, path, headers=headers, params=query, json=body) as answer:
            yield answer


def _unlike_an_answer(answer: _Answer, *, looks: bool) -> str | None:
    """What is wrong where the route was to answer."""
    if str(answer.status) in _REFUSALS or answer.code in _REFUSALS.values():
        return f"refused: {answer.status} {answer.code}"
    if answer.status >= (httpx.codes.BAD_REQUEST if looks else httpx.codes.INTERNAL_SERVER_ERROR):
        return f"not answered: {answer.status} {answer.code}"
    return _granted_to_a_foreign_page(answer)


def _unlike_a_refusal(answers: list[_Answer], expected: str, *, has_body: bool) -> str | None:
    """What is wrong where the caller was to be refused."""
    there, absent = answers
    if str(there.status) != expected or (has_body and there.code != _REFUSALS[expected]):
        return f"{there.status} {there.code}"
    if (there.status, there.content) != (absent.status, absent.content):
        return "what is there is refused in another way than what is not"
    return _granted_to_a_foreign_page(there)


def _granted_to_a_foreign_page(answer: _Answer) -> str | None:
    granted = answer.headers.get("access-control-allow-origin")
    return f"a foreign page may read it: {granted}" if granted is not None else None


def takes_a_path(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> bool:
    """Whether an operation of the OpenAPI document takes the path of something on the machine."""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    references = [one["$ref"] for one in (body, *body.get("anyOf", ())) if "$ref" in one]
    fields = [name for one in references for name in schemas[one.rpartition("/")[2]].get("properties", {})]
    parameters = [one["name"] for one in operation.get("parameters", ())]
    return any(name.lower().endswith("path") for name in (*fields, *parameters))


async def ask_all(url: str, table: Table, callers: Mapping[str, Caller], library: Library) -> list[Cell]:
    """Every route for every caller, by every detour, and with paths that are nobody's business."""
    # A connection for each request: one that is kept may be closed just when it is used again.
    limits = httpx.Limits(max_connections=_REFUSED_AT_ONCE + _ANSWERED_AT_ONCE, max_keepalive_connections=0)
    async with httpx.AsyncClient(
        base_url=url, timeout=60, limits=limits, verify=NO_AUTHORITIES, trust_env=False
    ) as client:
        asking = Asking(client, library)
        guarded = [route for route, needed in table.needs.items() if needed != NOTHING]
        admin = callers["admin token"]
        return await asyncio.gather(
            *(
                asking.cell(route, name, caller, table.expected(route, name))
                for name, caller in callers.items()
                for route in table.needs
            ),
            *(asking.detour(route, name, way) for name, way in DETOURS.items() for route in guarded),
            *(
                asking.hidden_path(route, kind, named, admin)
                for kind, named in library.hidden.items()
                for route in PATHS
            ),
        )
