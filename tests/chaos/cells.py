"""Which faults are inflicted on whom, and when: the cells of the matrix, and random schedules of several faults."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

Fault = Literal["kill", "stop", "cut", "full", "slow"]

FAULTS: Final[dict[Fault, str]] = {
    "kill": "killed by SIGKILL",
    "stop": "stopped in its tracks (SIGSTOP) for 30 s",
    "cut": "cut off from all other parts for 20 s",
    "full": "no room on its disk for 10 s",
    "slow": "given a tenth of the time for 10 s",
}
SECONDS: Final[dict[Fault, float]] = {"kill": 0, "stop": 30, "cut": 20, "full": 10, "slow": 10}
PARTS: Final = ("gateway", "embedder", "facedetect", "cluster", "progress", "nats", "postgres")
SUPERVISOR: Final = "triptych"
"""It keeps the parts running; its own death is every part's, which tests/resilience looks at."""
PHASES: Final = ("training", "face_detection", "clustering")
WITHOUT_DISK: Final = {
    "embedder": "it writes no file",
    "facedetect": "it writes no file",
    "cluster": "it writes no file",
    "progress": "it writes no file: its snapshots are in NATS",
}
"""Parts that cannot run out of room, and why."""
SCHEDULES: Final = 40
_MOST_BLOWS: Final = 4
_LONGEST_SECONDS: Final = 12.0
_LATEST_SECONDS: Final = 0.8
_SHORT: Final = (
    "kill gateway in face_detection",
    "kill postgres in training",
    "kill cluster in clustering",
    "stop facedetect in face_detection",
    "cut gateway in training",
    "cut embedder in training",
    "slow progress in face_detection",
    "full postgres in face_detection",
    "full nats in training",
)
"""Every part and every fault."""


@dataclass(frozen=True, kw_only=True)
class Blow:
    """One fault."""

    fault: Fault
    part: str
    phase: str
    """In which it begins."""
    delay_seconds: float
    """How long after the phase has got under way."""
    seconds: float
    """How long it lasts; 0 where it is over at once."""
    resets: bool
    """Whether connections that were cut are reset afterwards, instead of going on."""

    def __str__(self) -> str:
        lasts = f" for {self.seconds:.0f} s" if self.seconds else ""
        return f"{self.fault} {self.part} in {self.phase}{lasts}"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One session, and what is done to those who run it."""

    name: str
    blows: tuple[Blow, ...]


def matrix(seed: int) -> list[Cell]:
    """Every fault of every part in every phase, one at a time, but those that cannot be."""
    cells = []
    for fault in FAULTS:
        for part in PARTS:
            if fault == "full" and part in WITHOUT_DISK:
                continue
            for phase in PHASES:
                name = f"{fault} {part} in {phase}"
                cells.append(Cell(name=name, blows=(_blow(Random(f"{seed} {name}"), fault, part, phase),)))
    return [*cells, *(_full_supervisor(seed, phase) for phase in PHASES)]


def schedules(seed: int) -> list[Cell]:
    """Random schedules of two to four faults."""
    return [_schedule(seed, number) for number in range(1, SCHEDULES + 1)]


def choose(seed: int, *, which: str, only: str) -> list[Cell]:
    """The cells named `all`, `matrix`, `schedules` or `short`, of those whose name holds `only`."""
    of_matrix, of_schedules = matrix(seed), schedules(seed)
    by_name = {cell.name: cell for cell in of_matrix}
    chosen = {
        "all": [*of_matrix, *of_schedules],
        "matrix": of_matrix,
        "schedules": of_schedules,
        "short": [by_name[name] for name in _SHORT],
    }[which]
    return [cell for cell in chosen if only in cell.name]


def _full_supervisor(seed: int, phase: str) -> Cell:
    """No room for the supervisor's log and record, while a part dies of which it has to write."""
    name = f"full {SUPERVISOR} in {phase}"
    random = Random(f"{seed} {name}")
    killed = random.choice(PARTS)
    return Cell(name=name, blows=(_blow(random, "full", SUPERVISOR, phase), _blow(random, "kill", killed, phase)))


def _schedule(seed: int, number: int) -> Cell:
    name = f"schedule {number:02}"
    random = Random(f"{seed} {name}")
    blows = []
    for _ in range(random.randint(2, _MOST_BLOWS)):
        fault = random.choice(list(FAULTS))
        parts = [part for part in PARTS if fault != "full" or part not in WITHOUT_DISK]
        longest = min(SECONDS[fault], _LONGEST_SECONDS)
        seconds = random.uniform(1, longest) if longest else 0.0
        blows.append(_blow(random, fault, random.choice(parts), random.choice(PHASES), seconds=seconds))
    return Cell(name=name, blows=tuple(sorted(blows, key=lambda blow: PHASES.index(blow.phase))))


def _blow(random: Random, fault: Fault, part: str, phase: str, *, seconds: float | None = None) -> Blow:
    return Blow(
        fault=fault,
        part=part,
        phase=phase,
        delay_seconds=random.uniform(0, _LATEST_SECONDS) if phase != "clustering" else 0.0,
        seconds=SECONDS[fault] if seconds is None else seconds,
        resets=random.random() < 0.5,
    )


def not_applicable() -> Sequence[tuple[str, str]]:
    """Cells of the matrix that cannot be, and why."""
    return [(f"full {part} in any phase", reason) for part, reason in WITHOUT_DISK.items()]
