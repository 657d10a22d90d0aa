"""Memory and open files of each part, again and again, and whether they grow."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

import psutil

from tests.chaos.cells import PARTS
from tests.chaos.chaos_stack import ChaosStack

MOST_GROWTH: Final = 1.10
SPARE_FILES: Final = 3
"""Files that may be open at one look and not at another: connections that come and go with requests."""
_INTERVAL_SECONDS: Final = 1.0
_SUPERVISOR: Final = "triptych"
_WARM_UP: Final = 0.4
"""Share of all samples before which nothing counts: caches fill, pools open, sessions come to be as many as there may
be."""
_WINDOW: Final = 0.2
"""Share of all samples in each of the two windows that are compared, right after the warm-up and at the end."""


@dataclass(kw_only=True)
class Samples:
    """What was seen of each part. PostgreSQL's and the supervisor's are those of one process, the first."""

    stack: ChaosStack
    memory_bytes: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Resident memory."""
    files: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    starts: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Process ids of each part: one, where none has died."""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            for part, process in self._processes().items():
                with contextlib.suppress(psutil.NoSuchProcess):
                    self.memory_bytes[part].append(process.memory_info().rss)
                    self.files[part].append(process.num_fds())
                    self.starts[part].add(process.pid)
            await asyncio.sleep(_INTERVAL_SECONDS)

    def figures(self) -> dict[str, dict[str, Any]]:
        """Medians of the first and the last window, by part."""
        return {
            part: {
                "mebibytes": [round(value / 2**20, 1) for value in _windows(self.memory_bytes[part])],
                "memory_growth": round(_growth(self.memory_bytes[part]), 3),
                "files": list(_windows(self.files[part])),
                "starts": len(self.starts[part]),
            }
            for part in self.memory_bytes
        }

    def problems(self, *, judges_memory: bool) -> list[str]:
        """Which parts have grown or died."""
        found = []
        for part in self.memory_bytes:
            if judges_memory and _growth(self.memory_bytes[part]) > MOST_GROWTH:
                found.append(f"{part} grew to {_growth(self.memory_bytes[part]):.2f} times its memory")
            first, last = _windows(self.files[part])
            if last > first * MOST_GROWTH + SPARE_FILES:
                found.append(f"{part} had {first:g} files open, and {last:g} in the end")
            if len(self.starts[part]) > 1:
                found.append(f"{part} died")
        return found

    def _processes(self) -> dict[str, psutil.Process]:
        found = {part: processes[0] for part in PARTS if (processes := self.stack.processes(part))}
        return found | {_SUPERVISOR: psutil.Process(self.stack.triptych.process.pid)}


def _windows(values: Sequence[int]) -> tuple[float, float]:
    begin, size = int(len(values) * _WARM_UP), max(1, int(len(values) * _WINDOW))
    return median(values[begin : begin + size]), median(values[-size:])


def _growth(values: Sequence[int]) -> float:
    first, last = _windows(values)
    return last / first
