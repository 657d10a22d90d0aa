"""Which photos were read although their result was stored: what is computed again beyond what was in flight."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from tests.chaos.chaos_stack import ChaosStack
from tests.support.file_opens import FileOpens
from tests.support.stored_results import connected, settled_photos

_PHASES: Final = ("training", "face_detection")
"""Those that read photos, once each."""
_FACE_DETECTION: Final = "SELECT status FROM runs WHERE session_id = $1 AND phase = 'face_detection'"
_PAUSE_SECONDS: Final = 0.2
_ANSWER_SECONDS: Final = 5.0
_AWAY: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


@dataclass(kw_only=True)
class Ledger:
    """How often each photo had been read when its result was first seen in the catalogue."""

    stack: ChaosStack
    session_id: int
    opens: FileOpens
    _read_by_then: dict[tuple[str, str], int] = field(default_factory=dict)
    """By phase and photo."""
    _read_in_training: Counter[str] = field(default_factory=Counter)
    """How often each photo had been read when face detection was last seen not to have begun."""

    def read(self) -> Counter[str]:
        """How often each photo was read so far."""
        return Counter({path.name: times for path, times in self.opens.counts().items()})

    async def keep(self) -> None:
        """Note what is stored, again and again, until cancelled; not while the database is away."""
        while True:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await self.note()
            except _AWAY:
                # One of the faults: what is stored meanwhile is noted afterwards.
                pass
            await asyncio.sleep(_PAUSE_SECONDS)

    async def note(self) -> None:
        """Note whose results are stored now."""
        before = self.read()
        async with connected(self.stack.triptych) as database:
            status = await database.fetchval(_FACE_DETECTION, self.session_id)
        if status == "pending":
            self._read_in_training = before
        for phase in _PHASES:
            settled = await settled_photos(self.stack.triptych, self.session_id, phase)
            read = self.read()
            for photo in settled:
                self._read_by_then.setdefault((phase, photo), read[photo])

    def computed_again(self) -> int:
        """Photos that were read more often than once, for whatever reason."""
        return sum(times > len(_PHASES) for times in self.read().values())

    def computed_in_vain(self) -> int:
        """Photos that were read for a phase although their result of that phase was stored."""
        by_the_end = {"training": self._read_in_training, "face_detection": self.read()}
        return sum(by_the_end[phase][photo] > by_then for (phase, photo), by_then in self._read_by_then.items())
