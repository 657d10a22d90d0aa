"""The most memory that each part had, children included."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import psutil

from tests.support.running_triptych import Triptych

_INTERVAL_SECONDS: Final = 0.1


@dataclass(kw_only=True)
class Memory:
    """What was seen."""

    running: Triptych
    peak_bytes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    starts: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Process ids of each part: one, where none has died."""

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            for part, started in self.running.record().processes.items():
                with contextlib.suppress(psutil.NoSuchProcess):
                    self._look(part, psutil.Process(started.process_id))
            await asyncio.sleep(_INTERVAL_SECONDS)

    def problems(self, ceilings: Mapping[str, int]) -> list[str]:
        """Parts that died, or had more memory than they may have."""
        found = [f"{part} died and was started again" for part, starts in self.starts.items() if len(starts) > 1]
        for part, ceiling in ceilings.items():
            if self.peak_bytes[part] > ceiling:
                found.append(f"{part} had {self.peak_bytes[part] / 2**20:.0f} MiB, more than {ceiling / 2**20:.0f}")
        return found

    def _look(self, part: str, process: psutil.Process) -> None:
        self.starts[part].add(process.pid)
        family = [process, *process.children(recursive=True)]
        total = 0
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += one.memory_info().rss
        self.peak_bytes[part] = max(self.peak_bytes[part], total)
