"""Sessions that come and go, and buttons that are pressed at random."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import httpx

from tests.chaos.chaos_stack import SHARD_PHOTOS, ChaosStack
from tests.support.running_triptych import Client

MOST_SESSIONS: Final = 6
"""Known at a time; the oldest goes when another comes."""
_PAUSES_SECONDS: Final = (0.2, 1.5)
_BUTTONS: Final = {
    "pending": ("start",),
    "discovering": ("pause", "cancel"),
    "running": ("pause", "cancel"),
    "paused": ("resume", "cancel"),
    "completed": ("restart-training", "restart-faces", "restart-clustering"),
    "failed": ("restart-training", "restart-faces"),
    "cancelled": ("start",),
}
"""What is pressed of a session in each state."""
_UNDER_WAY: Final = ("pending", "discovering", "running", "paused")
_LET_BE: Final = 0.5
"""How often a session is left to itself, so that some come to their end."""
_REFUSED: Final = (httpx.codes.CONFLICT,)
"""The state has changed since it was asked."""


@dataclass(kw_only=True)
class Load:
    """One who presses buttons."""

    stack: ChaosStack
    client: Client
    random: Random
    pressed: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    put_off: Counter[str] = field(default_factory=Counter)
    """Answers that asked to try again in a moment: a statement took longer than an answer may."""
    _sessions: int = 0

    async def run(self) -> None:
        """Go on until cancelled. Raises RuntimeError for an answer that no button may give."""
        while True:
            await self.step()
            await asyncio.sleep(self.random.uniform(*_PAUSES_SECONDS))

    async def step(self) -> None:
        """Do one thing."""
        sessions = await self.client.get_all("/training/sessions")
        if len(sessions) < MOST_SESSIONS:
            await self._begin()
            return
        session = self.random.choice(sessions)
        if self.random.random() < _LET_BE:
            ended = [one for one in sessions if one["status"] in ("completed", "failed", "cancelled")]
            if ended:
                await self._delete(self.random.choice(ended))
            return
        await self._press(session, self.random.choice(_BUTTONS[session["status"]]))

    async def finish(self, *, seconds: float) -> list[dict[str, Any]]:
        """Let all sessions come to an end; returns them. Raises TimeoutError where one does not."""
        async with asyncio.timeout(seconds):
            while True:
                sessions = await self.client.get_all("/training/sessions")
                for session in sessions:
                    if session["status"] == "paused":
                        await self._press(session, "resume")
                if all(session["status"] not in _UNDER_WAY for session in sessions):
                    return sessions
                await asyncio.sleep(_PAUSES_SECONDS[0])

    async def _begin(self) -> None:
        self._sessions += 1
        await self.client.begin(self.stack.copy(f"soak-{self._sessions}"), shard_photos=SHARD_PHOTOS)
        self.pressed["begin"] += 1

    async def _press(self, session: dict[str, Any], button: str) -> None:
        self._count(button, await self.client.post(f"/training/sessions/{session['id']}/{button}"))

    async def _delete(self, session: dict[str, Any]) -> None:
        self._count("delete", await self.client.delete(f"/training/sessions/{session['id']}"))

    def _count(self, button: str, answer: httpx.Response) -> None:
        if answer.status_code in _REFUSED:
            self.refused += 1
        elif answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            self.put_off[button] += 1
        elif not answer.is_success:
            raise RuntimeError(f"{button} was answered {answer.status_code}: {answer.text}")
        else:
            self.pressed[button] += 1
