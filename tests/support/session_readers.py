"""What readers see of a session while it is disturbed: one who asks again and again, and one who follows the stream."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import httpx

from tests.support.ending import end_tasks
from triptych_gateway.cli.plain_http import NO_AUTHORITIES
from triptych_gateway.cli.rest.event_stream import read_events

ENDED: Final = ("completed", "failed", "cancelled")
_PAUSE_SECONDS: Final = 0.1
_ANSWER_SECONDS: Final = 5.0
_SILENCE_SECONDS: Final = 40.0
"""Longer than the stream's heartbeats are apart."""


@dataclass(kw_only=True)
class Reader:
    """What one of them has seen."""

    percentages: list[float] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)
    """The newest answer; empty before the first."""
    outages: int = 0
    """Times that nobody answered."""

    def take(self, body: dict[str, Any]) -> None:
        """Note an answer."""
        self.last = body
        self.percentages.append(body["overallProgress"]["percentage"])
        self.statuses.append(body["overallStatus"])

    def backward_moves(self) -> int:
        """How often the percentage, or the session's status, went back."""
        bar = sum(later < earlier for earlier, later in pairwise(self.percentages))
        return bar + sum(earlier in ENDED and later != earlier for earlier, later in pairwise(self.statuses))

    def early_ends(self) -> int:
        """How often 100 % was shown of a session that was not completed, or less of one that was."""
        return sum(
            (percentage == 100) != (status == "completed")
            for percentage, status in zip(self.percentages, self.statuses, strict=True)
        )


@dataclass(frozen=True, kw_only=True)
class Readers:
    """Both of them."""

    polling: Reader
    streaming: Reader

    def all(self) -> Sequence[Reader]:
        """Each of them."""
        return self.polling, self.streaming

    @property
    def has_ended(self) -> bool:
        """Whether the session is over, as far as the one who asks knows."""
        return self.polling.last.get("overallStatus") in ENDED

    def phase(self, key: str) -> dict[str, Any] | None:
        """How a phase stood at the last answer."""
        phases: dict[str, dict[str, Any]] = self.polling.last.get("phases", {})
        return phases.get(key)

    def work(self) -> tuple[int, ...]:
        """What grows as work goes on."""
        phases = self.polling.last["phases"].values()
        return (*(phase["progress"]["current"] for phase in phases), int(self.has_ended))


@contextlib.asynccontextmanager
async def watched(url: str, session_id: int) -> AsyncIterator[Readers]:
    """Have both watch a session until the context is left; a task that fails is raised there."""
    readers = Readers(polling=Reader(), streaming=Reader())
    progress = f"/api/v1/training/sessions/{session_id}/progress-unified"
    async with httpx.AsyncClient(base_url=url, verify=NO_AUTHORITIES, trust_env=False) as client:
        tasks = [
            asyncio.create_task(_poll(client, progress, readers.polling)),
            asyncio.create_task(_follow(client, f"{progress}/stream", readers.streaming)),
        ]
        try:
            yield readers
        finally:
            failed = [task for task in tasks if task.done() and task.exception()]
            await end_tasks(tasks)
        for task in failed:
            task.result()


async def _poll(client: httpx.AsyncClient, path: str, reader: Reader) -> None:
    while True:
        try:
            answer = await client.get(path, timeout=_ANSWER_SECONDS)
        except httpx.TransportError:
            reader.outages += 1
        else:
            if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                reader.outages += 1
            else:
                reader.take(answer.raise_for_status().json())
        await asyncio.sleep(_PAUSE_SECONDS)


async def _follow(client: httpx.AsyncClient, path: str, reader: Reader) -> None:
    """As a browser's EventSource: again whenever the stream ends, from where it was, until there is no more of it."""
    headers: dict[str, str] = {}
    while True:
        try:
            async with client.stream("GET", path, headers=headers, timeout=_SILENCE_SECONDS) as answer:
                if answer.status_code == httpx.codes.NO_CONTENT:
                    return
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    answer.raise_for_status()
                    async for event in read_events(answer.aiter_lines()):
                        if event.last_event_id is not None:
                            headers["Last-Event-ID"] = event.last_event_id
                        reader.take(json.loads(event.data))
        except httpx.TransportError:
            reader.outages += 1
        await asyncio.sleep(_PAUSE_SECONDS)
