"""Requests whose answers are looked at closely: no status of 500 or more, and JSON that every reader takes."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn
from urllib.parse import quote_from_bytes

import httpx

from tests.fuzz.corpus.hostile import EMBEDDED, NOT_FOUND
from tests.fuzz.stored import Stored
from triptych_common.media.locations import display_path

AT_ONCE: Final = 8
_PAGE: Final = 100
_DEFECT: Final = 500


class BadAnswerError(Exception):
    """An answer that none may give."""


def strict_json(content: bytes) -> Any:
    """What an answer says. Raises BadAnswerError for what is no JSON (RFC 8259): NaN, a lone surrogate, no UTF-8."""
    try:
        value = json.loads(content.decode(), parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError as error:
        raise BadAnswerError(f"no JSON: {error}: {content[:200]!r}") from error
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


@dataclass(kw_only=True)
class Asking:
    """One who asks, and notes how it was answered."""

    client: httpx.AsyncClient
    """Of the API's root."""
    statuses: Counter[int] = field(default_factory=Counter)
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def get(self, path: str) -> tuple[int, Any]:
        """Status, and the JSON or the bytes of the answer. Raises BadAnswerError."""
        return await self._ask("GET", path)

    async def post(self, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        """As `get`."""
        return await self._ask("POST", path, json=body)

    async def get_all(self, path: str) -> list[dict[str, Any]]:
        """All items of a list. Raises BadAnswerError."""
        items: list[dict[str, Any]] = []
        while True:
            mark = "&" if "?" in path else "?"
            page = f"{path}{mark}page={len(items) // _PAGE + 1}&page_size={_PAGE}"
            status, body = await self.get(page)
            if status != httpx.codes.OK:
                raise BadAnswerError(f"{path}: {status}")
            items += body["items"]
            if not body["hasMore"]:
                return items

    async def _ask(self, method: str, path: str, **request: Any) -> tuple[int, Any]:
        for is_last in (False, True):
            try:
                async with self._places:
                    answer = await self.client.request(method, path, **request)
                break
            except httpx.TransportError as error:
                # Once it may be a connection that the server had just given up; one that died is noticed elsewhere.
                if is_last:
                    raise BadAnswerError(f"no answer to {method} {path}: {error!r}") from error
        self.statuses[answer.status_code] += 1
        if answer.status_code >= _DEFECT:
            raise BadAnswerError(f"{answer.status_code} of {path}: {answer.text[:300]}")
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return answer.status_code, strict_json(answer.content) if is_json else answer.content


async def ask_about_photo(asking: Asking, path: bytes, stored: Stored, ends: frozenset[str]) -> list[str]:
    """Ask for a photo in every way that the page does; returns what was wrong."""
    shown = display_path(path)
    asset = f"/images/{stored.asset_id}"
    problems = []
    try:
        status, body = await asking.get(asset)
        if status != httpx.codes.OK or body["path"] != shown:
            problems.append(f"{shown!r} is answered {status} as {body}")
        status, body = await asking.get(f"{asset}/thumbnail?size=64")
        problems += _judge_picture(shown, status, body, stored.end, ends)
        await asking.get(f"{asset}/full")
        status, body = await asking.get(
            f"/training/directories/preview/thumbnail?path={quote_from_bytes(path, safe='')}"
        )
        # A path may be too long to be named in a request.
        if status != httpx.codes.UNPROCESSABLE_ENTITY:
            problems += _judge_picture(f"{shown} by its path", status, body, stored.end, ends)
    except BadAnswerError as error:
        problems.append(f"{shown!r}: {error}")
    return problems


def _judge_picture(shown: str, status: int, body: Any, end: str, ends: frozenset[str]) -> list[str]:
    if status == httpx.codes.OK:
        return [] if EMBEDDED in ends else [f"{shown!r} has a picture and ended as {end}"]
    if end == EMBEDDED:
        return [f"{shown!r} was read, and its picture is answered {status}: {body}"]
    reason = body["error"]["details"].get("reason", body["error"]["code"])
    is_gone = reason == "photo_not_found" and NOT_FOUND in ends
    return [] if reason in ends or is_gone else [f"{shown!r} ended as {end}, and its picture as {reason}"]


async def ask_about_directory(asking: Asking, directory: bytes) -> list[str]:
    """Ask what a directory holds; returns what was wrong."""
    path = quote_from_bytes(directory, safe="")
    problems = []
    for kind in ("", "/preview"):
        try:
            await asking.get(f"/training/directories{kind}?path={path}")
        except BadAnswerError as error:
            problems.append(f"{display_path(directory)!r}: {error}")
    return problems


async def ask_lists(asking: Asking, session_id: int, assets: Iterable[int]) -> list[str]:
    """Ask for every list of the page, and for what is like some photos; returns what was wrong."""
    problems = []
    session = f"/training/sessions/{session_id}"
    lists = ("/training/sessions", f"{session}/problems", "/faces/clusters", "/faces/persons", "/faces/unassigned")
    for path in lists:
        try:
            await asking.get_all(path)
        except BadAnswerError as error:
            problems.append(str(error))
    for asset_id in assets:
        try:
            status, body = await asking.post("/search", {"assetId": asset_id})
        except BadAnswerError as error:
            problems.append(str(error))
        else:
            if status != httpx.codes.OK or not body["items"]:
                problems.append(f"a search for what is like photo {asset_id} is answered {status}: {body}")
    return problems
