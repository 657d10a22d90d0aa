"""A small typed client of the gateway's REST interface."""

import ipaddress
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from triptych_gateway.cli.plain_http import NO_AUTHORITIES
from triptych_gateway.cli.rest.answers import (
    AuditEntry,
    Forgetting,
    Group,
    Health,
    Job,
    Page,
    Person,
    Photo,
    Problem,
    SearchIndex,
    Session,
    SessionState,
    Snapshot,
)
from triptych_gateway.cli.rest.errors import GatewayUnreachable, NoGateway, RequestRefused, UnexpectedAnswer
from triptych_gateway.cli.rest.event_stream import read_events
from triptych_gateway.cli.settings import CommandSettings

DEFAULT_URL: Final = "http://127.0.0.1:8000"
MAXIMUM_PAGE_SIZE: Final = 100
"""The contract's largest page."""

_TRAINING = "/api/v1/training"
_FORGETTINGS = "/api/v1/privacy/forgettings"
_ANSWER_DEADLINE_SECONDS = 30.0
_CONNECT_DEADLINE_SECONDS = 5.0
_SILENCE_DEADLINE_SECONDS = 45.0
"""Three missed heartbeats of a stream: the contract has one each 15 s."""
_AWAY_STATUSES = frozenset(
    {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT},
)


def _credential() -> dict[str, str]:
    token = CommandSettings.of(os.environ).token
    return {"authorization": f"Bearer {token}"} if token else {}


Read = TypeVar("Read", bound=BaseModel)
Item = TypeVar("Item")


class StreamNotOffered(UnexpectedAnswer):
    """The gateway, or a proxy before it, gives no event stream: ask for snapshots instead."""


class GatewayClient:
    """Speaks to one gateway; use as `async with GatewayClient(url) as client`.

    Every call raises `GatewayUnreachable`, `RequestRefused` or `UnexpectedAnswer`, and nothing else of its own. Raises
    `ValueError` at once where `base_url` is not an http or https address.
    """

    def __init__(self, base_url: str = DEFAULT_URL) -> None:
        host = gateway_host(base_url)
        self.base_url = base_url.rstrip("/")
        # A proxy of the environment has no business between two processes of one machine.
        self._http = httpx.AsyncClient(
            base_url=self.base_url,
            verify=NO_AUTHORITIES if httpx.URL(base_url).scheme == "http" else True,
            trust_env=not _is_loopback(host),
            timeout=httpx.Timeout(_ANSWER_DEADLINE_SECONDS, connect=_CONNECT_DEADLINE_SECONDS),
            headers={"accept": "application/json", **_credential()},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def health(self) -> Health:
        """Asks the gateway whether it answers."""
        return self._read(Health, await self._send("GET", "/health"))

    async def create_session(self, *, name: str, root_path: str, recursive: bool = True) -> Session:
        """Creates a session over `root_path`, a directory on the gateway's machine; it is not started."""
        body = {"name": name, "rootPath": root_path, "subdirectories": [], "config": {"recursive": recursive}}
        return self._read(Session, await self._send("POST", f"{_TRAINING}/sessions", body=body))

    async def start(self, session_id: int) -> SessionState:
        """Starts a session; on one that runs already it changes nothing, so it may be repeated."""
        return self._read(SessionState, await self._send("POST", f"{_TRAINING}/sessions/{session_id}/start"))

    async def press(self, session_id: int, button: str, *, query: Mapping[str, bool]) -> SessionState:
        """Presses a button of a session: pause, resume, cancel, or one of the restarts."""
        path = f"{_TRAINING}/sessions/{session_id}/{button}"
        return self._read(SessionState, await self._send("POST", path, query=dict(query)))

    async def session(self, session_id: int) -> Session:
        """One session."""
        return self._read(Session, await self._send("GET", f"{_TRAINING}/sessions/{session_id}"))

    async def sessions(self, *, status: str | None = None, page: int = 1, page_size: int = 20) -> Page[Session]:
        """A page of sessions, newest first, of one status where given."""
        query: dict[str, str | int] = {"page": page, "page_size": page_size}
        if status is not None:
            query["status"] = status
        return self._read(Page[Session], await self._send("GET", f"{_TRAINING}/sessions", query=query))

    async def progress_unified(self, session_id: int) -> Snapshot:
        """The unified progress of a session, now."""
        return self._read(Snapshot, await self._send("GET", f"{_TRAINING}/sessions/{session_id}/progress-unified"))

    async def jobs(
        self, session_id: int, *, status: str | None = None, page: int = 1, page_size: int = MAXIMUM_PAGE_SIZE
    ) -> Page[Job]:
        """A page of a session's photos, of one status where given."""
        query: dict[str, str | int] = {"page": page, "page_size": page_size}
        if status is not None:
            query["status"] = status
        return self._read(Page[Job], await self._send("GET", f"{_TRAINING}/sessions/{session_id}/jobs", query=query))

    async def failed_jobs(self, session_id: int) -> tuple[Job, ...]:
        """All photos of a session that failed, page after page."""
        return await _every_item(lambda page: self.jobs(session_id, status="failed", page=page), key=lambda job: job.id)

    async def problems(self, session_id: int, *, page: int = 1, page_size: int = MAXIMUM_PAGE_SIZE) -> Page[Problem]:
        """A page of the folders and files that discovery could not read."""
        query = {"page": page, "page_size": page_size}
        path = f"{_TRAINING}/sessions/{session_id}/problems"
        return self._read(Page[Problem], await self._send("GET", path, query=query))

    async def all_problems(self, session_id: int) -> tuple[Problem, ...]:
        """All folders and files that discovery could not read, page after page."""
        return await _every_item(
            lambda page: self.problems(session_id, page=page), key=lambda problem: (problem.path, problem.code)
        )

    async def groups(self, session_id: int, *, page: int = 1, page_size: int = MAXIMUM_PAGE_SIZE) -> Page[Group]:
        """A page of the groups of faces in a session's photos."""
        query = {"session_id": session_id, "page": page, "page_size": page_size}
        return self._read(Page[Group], await self._send("GET", "/api/v1/faces/clusters", query=query))

    async def all_groups(self, session_id: int) -> tuple[Group, ...]:
        """All groups of faces in a session's photos, page after page."""
        return await _every_item(lambda page: self.groups(session_id, page=page), key=lambda group: group.id)

    async def audit(self, *, session_id: int | None, page_size: int) -> Page[AuditEntry]:
        """The latest of what somebody had done, of one session where given."""
        query = {"page_size": page_size} | ({} if session_id is None else {"session_id": session_id})
        return self._read(Page[AuditEntry], await self._send("GET", "/api/v1/audit", query=query))

    async def person(self, person_id: int) -> Person:
        """One person."""
        return self._read(Person, await self._send("GET", f"/api/v1/faces/persons/{person_id}"))

    async def photo(self, asset_id: int) -> Photo:
        """One photo with the faces in it."""
        return self._read(Photo, await self._send("GET", f"/api/v1/images/{asset_id}"))

    async def forget(self, kind: str, subject_id: int, *, keep_out: bool) -> Forgetting:
        """Has a person, a photo or a session forgotten; asked again, it tells how far that is."""
        body = {"kind": kind, "id": subject_id, "keepOut": keep_out}
        return self._read(Forgetting, await self._send("POST", _FORGETTINGS, body=body))

    async def forgetting(self, forgetting_id: int) -> Forgetting:
        """How far a forgetting is."""
        return self._read(Forgetting, await self._send("GET", f"{_FORGETTINGS}/{forgetting_id}"))

    async def search_index(self) -> SearchIndex:
        """What searches use, for each model."""
        return self._read(SearchIndex, await self._send("GET", "/api/v1/search/index"))

    async def rebuild_search_index(self, model: str | None = None) -> SearchIndex:
        """Has it built anew, of one model or of all; asked again before it is built, nothing changes."""
        query = {} if model is None else {"model": model}
        return self._read(SearchIndex, await self._send("POST", "/api/v1/search/index/rebuild", query=query))

    def stream(
        self, session_id: int, *, last_event_id: str | None = None
    ) -> AsyncGenerator[tuple[str, Snapshot], None]:
        """Snapshots of a session as they come, each with its event id, until the gateway ends the stream.

        Ends without a snapshot where `last_event_id` names the terminal one (204). Raises `StreamNotOffered` where what
        answers is not an event stream, `GatewayUnreachable` after 45 s without even a heartbeat.
        """
        return self._stream(f"{_TRAINING}/sessions/{session_id}/progress-unified/stream", last_event_id)

    def stream_all(self, *, last_event_id: str | None = None) -> AsyncGenerator[tuple[str, Snapshot], None]:
        """Snapshots of all sessions under way, then of each that changes; with an id also of those ended since.

        Raises as `stream` does.
        """
        return self._stream(f"{_TRAINING}/progress/stream", last_event_id)

    async def _stream(self, path: str, last_event_id: str | None) -> AsyncGenerator[tuple[str, Snapshot], None]:
        headers = {"accept": "text/event-stream", "cache-control": "no-store"}
        if last_event_id is not None:
            headers["last-event-id"] = last_event_id
        timeout = httpx.Timeout(_SILENCE_DEADLINE_SECONDS, connect=_CONNECT_DEADLINE_SECONDS)
        async with self._connection(), self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
            if response.status_code == HTTPStatus.NO_CONTENT:
                return
            if not response.is_success:
                await response.aread()
                self._raise_for(response, where_absent=StreamNotOffered)
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise StreamNotOffered(f"{self.base_url} gives no event stream")
            async for event in read_events(response.aiter_lines()):
                yield event.last_event_id or "", self._read(Snapshot, _decoded(event.data, self.base_url))

    async def _send(
        self, method: str, path: str, *, query: Mapping[str, str | int] | None = None, body: object = None
    ) -> object:
        # ASCII with escapes: httpx would fail on the lone surrogates that stand for bytes which are not UTF-8.
        content = None if body is None else json.dumps(body, ensure_ascii=True).encode("ascii")
        headers = {} if body is None else {"content-type": "application/json"}
        async with self._connection():
            response = await self._http.request(method, path, params=query, content=content, headers=headers)
        if not response.is_success:
            self._raise_for(response)
        return _decoded(response.text, self.base_url)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[None]:
        try:
            yield
        except httpx.ConnectError as error:
            raise NoGateway(f"no gateway answers at {self.base_url}: start one with `triptych up`") from error
        except httpx.TimeoutException as error:
            raise GatewayUnreachable(f"the gateway at {self.base_url} did not answer in time") from error
        except httpx.RequestError as error:
            raise GatewayUnreachable(f"the connection to the gateway at {self.base_url} broke off") from error

    def _raise_for(self, response: httpx.Response, *, where_absent: type[UnexpectedAnswer] = UnexpectedAnswer) -> None:
        refusal = _refusal_in(response)
        if response.status_code in _AWAY_STATUSES:
            raise GatewayUnreachable(
                str(refusal) if refusal else f"the gateway at {self.base_url} is away ({response.status_code})"
            )
        if refusal:
            raise refusal
        raise where_absent(
            f"{self.base_url} answered {response.status_code} without an explanation: is it a Triptych gateway?"
        )

    def _read(self, kind: type[Read], answer: object) -> Read:
        try:
            return kind.model_validate(answer)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the answer"
            raise UnexpectedAnswer(
                f"{self.base_url} answered something else than this version knows ({where}: {first['msg']})"
            ) from error


async def _every_item(
    fetch_page: Callable[[int], Awaitable[Page[Item]]], *, key: Callable[[Item], Hashable]
) -> tuple[Item, ...]:
    """All items of a list; one that moved to a later page while it was read comes once."""
    found: dict[Hashable, Item] = {}
    number, more = 1, True
    while more:
        page = await fetch_page(number)
        found.update((key(item), item) for item in page.items)
        number, more = number + 1, page.has_more and bool(page.items)
    return tuple(found.values())


def _refusal_in(response: httpx.Response) -> RequestRefused | None:
    """The contract's error in a response; None where the body is something else."""
    try:
        body: Any = response.json()
    except ValueError:
        return None
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("code"), str):
        return None
    message = body.get("message") or error.get("message") or error["code"]
    details = error.get("details")
    return RequestRefused(
        str(message),
        status_code=response.status_code,
        code=error["code"],
        details=details if isinstance(details, dict) else None,
    )


def _decoded(text: str, base_url: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UnexpectedAnswer(f"{base_url} answered something that is not JSON: is it a Triptych gateway?") from error


def gateway_host(base_url: str) -> str:
    """The host in a gateway's address; raises `ValueError` where it is not an http or https address."""
    try:
        address = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{base_url!r} is not an address of a gateway: {error}") from error
    if address.scheme not in {"http", "https"} or not address.host:
        raise ValueError(f"{base_url!r} is not an address of a gateway: write it like {DEFAULT_URL}")
    return address.host


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
