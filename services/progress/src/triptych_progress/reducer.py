"""The fold: progress events in any order, any number of times, to the state of a session.

The state is a join semilattice, so folding is idempotent, commutative and associative:

- a phase keeps the state of its highest run;
- within a run, a unit's counts only grow (join by maximum), and the unit's size is part of its identity;
- a unit's stage is that of its report with the most work done;
- the life of a run is its report with the greatest (epoch, step).

A unit is a shard, ``shard-<ordinal>``, or else the whole run in one piece, as in clustering. The latter may begin again
with another size after a crash: then it has come as far as its furthest try, and its progress does not fall.

Finished shards compact into a bitmap of ordinals per shard size, plus the few that had failures, so that late
duplicates stay harmless and the state stays small however many photos a session has.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

State = Literal["pending", "running", "paused", "completed", "failed", "cancelled"]
Phase = Literal["training", "face_detection", "clustering"]

PHASES: Final[tuple[Phase, ...]] = ("training", "face_detection", "clustering")
MAX_SHARDS: Final = 1_000_000
"""Greatest shard ordinal that is believed; a run has far fewer."""
MAX_ITEMS: Final = 10**12
"""Greatest number of items that is believed, of a run or a unit."""
MAX_PRIOR_SECONDS: Final = 86_400.0
"""Greatest expected time of one item that is believed, in seconds."""
MAX_NAME: Final = 64
"""Longest name of a unit or stage that is believed, in characters."""

_SHARD_PREFIX: Final = "shard-"
_SHARD: Final = re.compile(r"shard-(0|[1-9][0-9]{0,8})\Z")


class BadReportError(ValueError):
    """A report that no correct worker sends; it must be dropped, counted and logged."""


@dataclass(frozen=True, kw_only=True)
class CountsReport:
    """Absolute counts of one unit of one run."""

    session_id: int
    phase: Phase
    run: int
    unit: str
    done: int
    failed: int
    total: int
    stage: str = ""


@dataclass(frozen=True, kw_only=True, order=True)
class Life:
    """The life of a run as one lifecycle report tells it; later ones compare greater."""

    epoch: int
    step: int
    state: State
    total: int
    skipped: int
    weight: float
    prior_seconds_per_item: float = 0.0
    error_code: str = ""
    error_message: str = ""


@dataclass(frozen=True, kw_only=True)
class LifeReport:
    """A change in the life of a run."""

    session_id: int
    phase: Phase
    run: int
    life: Life


Report = CountsReport | LifeReport


class OpenUnit(NamedTuple):
    """What is known of a unit that is not a finished shard. Each count is the greatest ever reported."""

    done: int = 0
    failed: int = 0
    stage_at: int = 0
    """done + failed of the report that the stage comes from."""
    stage: str = ""


@dataclass(kw_only=True)
class RunState:
    """One run of one phase: its life, its open units and its finished shards."""

    run: int = 0
    life: Life | None = None
    open_units: dict[tuple[str, int], OpenUnit] = field(default_factory=dict)
    """(unit, size) → what is known of it."""
    finished_shards: dict[int, int] = field(default_factory=dict)
    """Shard size → bitmap of the ordinals of finished shards."""
    finished_failures: dict[tuple[int, int], int] = field(default_factory=dict)
    """(ordinal, size) of a finished shard → failures in it, where there are any."""
    finished_failed: int = 0
    """Sum of those failures, which is asked for with every event."""

    def counts(self) -> "Counts":
        """What all units add up to, never more than the run's total. A completed run is whole, whatever got lost."""
        total, skipped = (self.life.total, self.life.skipped) if self.life else (0, 0)
        room = total - skipped
        failed = self.finished_failed
        done = sum(size * bitmap.bit_count() for size, bitmap in self.finished_shards.items()) - failed
        whole_current = whole_failed = 0
        for (name, size), unit in self.open_units.items():
            if name.startswith(_SHARD_PREFIX):
                failed += unit.failed
                done += min(unit.done, size - unit.failed)
            else:
                whole_current = max(whole_current, _scaled(min(unit.done + unit.failed, size), size, room))
                whole_failed = max(whole_failed, _scaled(unit.failed, size, room))
        failed = min(failed + whole_failed, room)
        done = min(done + whole_current - whole_failed, room - failed)
        if self.life is not None and self.life.state == "completed":
            done = room - failed
        return Counts(done=done, failed=failed, skipped=skipped, total=total, stage=self._stage())

    def _stage(self) -> str:
        return max(((unit.stage_at, unit.stage) for unit in self.open_units.values()), default=(0, ""))[1]


def _scaled(count: int, size: int, room: int) -> int:
    """So much of a size as items of another size; rounded up, so that the share is not less."""
    return -(-room * count // size)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Items of a run: done + failed + skipped ≤ total."""

    done: int
    failed: int
    skipped: int
    total: int
    stage: str

    @property
    def current(self) -> int:
        """Items that need no more work."""
        return self.done + self.failed + self.skipped


@dataclass(kw_only=True)
class SessionState:
    """The phases of a session, each in its latest run."""

    phases: dict[Phase, RunState] = field(default_factory=lambda: {phase: RunState() for phase in PHASES})


def check(report: Report) -> None:
    """Raise BadReportError for a report that cannot be true."""
    if report.session_id < 1 or report.run < 1:
        raise BadReportError(f"session {report.session_id} and run {report.run} must be positive")
    if isinstance(report, LifeReport):
        _check_life(report.life)
        return
    if not report.unit or len(report.unit) > MAX_NAME or len(report.stage) > MAX_NAME:
        raise BadReportError(f"a unit has a name of 1 to {MAX_NAME} characters, and its stage no longer one")
    if report.done < 0 or report.failed < 0 or not 1 <= report.total <= MAX_ITEMS:
        raise BadReportError(f"impossible counts: {report.done} + {report.failed} of {report.total}")
    if report.done + report.failed > report.total:
        raise BadReportError(f"more than all: {report.done} + {report.failed} of {report.total}")
    shard = _SHARD.match(report.unit)
    if report.unit.startswith(_SHARD_PREFIX) and (shard is None or int(shard[1]) > MAX_SHARDS):
        raise BadReportError(f"impossible shard {report.unit!r}")


def _check_life(life: Life) -> None:
    if not 0 <= life.skipped <= life.total <= MAX_ITEMS:
        raise BadReportError(f"impossible counts of a run: {life.skipped} skipped of {life.total}")
    if life.epoch < 0 or life.step < 0:
        raise BadReportError(f"impossible epoch {life.epoch} or step {life.step}")
    # Also false for what is not a number, which would have no place in the order of lives.
    if not (0 <= life.weight <= 1 and 0 <= life.prior_seconds_per_item <= MAX_PRIOR_SECONDS):
        raise BadReportError(f"impossible weight {life.weight} or prior {life.prior_seconds_per_item}")


def fold(state: SessionState, report: Report) -> bool:
    """Join one report into the state; tells whether anything changed. Raises BadReportError and changes nothing."""
    check(report)
    run = state.phases[report.phase]
    if report.run < run.run:
        return False
    if report.run > run.run:
        run = state.phases[report.phase] = RunState(run=report.run)
    if isinstance(report, LifeReport):
        if run.life is not None and report.life <= run.life:
            return False
        run.life = report.life
        return True
    return _fold_counts(run, report)


def fold_all(reports: Iterable[Report]) -> SessionState:
    """The state that reports add up to. Raises BadReportError at the first bad one."""
    state = SessionState()
    for report in reports:
        fold(state, report)
    return state


def _fold_counts(run: RunState, report: CountsReport) -> bool:
    shard = _SHARD.match(report.unit)
    size = report.total
    if shard is not None and run.finished_shards.get(size, 0) >> int(shard[1]) & 1:
        return _raise_failures(run, int(shard[1]), size, report.failed)
    key = (report.unit, size)
    known = run.open_units.get(key)
    before = known or OpenUnit()
    stage_at, stage = max((before.stage_at, before.stage), (report.done + report.failed, report.stage))
    after = OpenUnit(max(before.done, report.done), max(before.failed, report.failed), stage_at, stage)
    if after == known:
        return False
    if shard is not None and after.done + after.failed >= size:
        ordinal = int(shard[1])
        run.open_units.pop(key, None)
        run.finished_shards[size] = run.finished_shards.get(size, 0) | 1 << ordinal
        _raise_failures(run, ordinal, size, after.failed)
    else:
        run.open_units[key] = after
    return True


def _raise_failures(run: RunState, ordinal: int, size: int, failed: int) -> bool:
    known = run.finished_failures.get((ordinal, size), 0)
    if failed <= known:
        return False
    run.finished_failures[ordinal, size] = failed
    run.finished_failed += failed - known
    return True


def phase_percentage(counts: Counts, state: State) -> float:
    """Percentage of one phase, 0..100; a completed phase without items is at 100."""
    if counts.total == 0:
        return 100.0 if state == "completed" else 0.0
    return 100.0 * counts.current / counts.total


def overall_percentage(state: SessionState) -> float:
    """Σ weight·phase over the phases, 0..100, floored to 0.1; 100 only when every phase is completed, else ≤ 99.9."""
    total = 0.0
    completed = True
    for run in state.phases.values():
        life = run.life
        if life is None:
            completed = False
            continue
        completed = completed and life.state == "completed"
        total += life.weight * phase_percentage(run.counts(), life.state)
    return 100.0 if completed else floor_percentage(total)


def floor_percentage(percentage: float) -> float:
    """Floored to 0.1 and held at 99.9; a hair is added first so that 0.3 · 100 stays 30.0."""
    return min(int(percentage * 10 + 1e-6) / 10, 99.9)
