"""The fold: progress events in any order, any number of times, to the state of a session.

The state is a join semilattice, so folding is idempotent, commutative and associative:

- a phase keeps the state of its highest run;
- within a run, a unit's counts only grow (join by maximum), and the unit's size is part of its identity;
- the life of a run is its report with the greatest (epoch, step).

Finished shards compact into a bitmap of ordinals per shard size, plus the few that had failures, so that late
duplicates stay harmless and the state stays small however many photos a session has.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

State = Literal["pending", "running", "paused", "completed", "failed", "cancelled"]
Phase = Literal["training", "face_detection", "clustering"]

PHASES: Final[tuple[Phase, ...]] = ("training", "face_detection", "clustering")
MAX_SHARDS: Final = 1_000_000
"""Greatest shard ordinal that is believed; a run has far fewer."""

_SHARD = re.compile(r"shard-(0|[1-9][0-9]{0,8})\Z")


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


@dataclass(kw_only=True)
class RunState:
    """One run of one phase: its life, its open units and its finished shards."""

    run: int = 0
    life: Life | None = None
    open_units: dict[tuple[str, int], tuple[int, int, str]] = field(default_factory=dict)
    """(unit, size) → (done, failed, stage)."""
    finished_shards: dict[int, int] = field(default_factory=dict)
    """Shard size → bitmap of the ordinals of finished shards."""
    finished_failures: dict[tuple[int, int], int] = field(default_factory=dict)
    """(ordinal, size) of a finished shard → failures in it, where there are any."""

    def counts(self) -> "Counts":
        """What all units add up to, never more than the run's total."""
        failed = sum(self.finished_failures.values())
        done = sum(size * bitmap.bit_count() for size, bitmap in self.finished_shards.items()) - failed
        stage = ""
        for (_, size), (unit_done, unit_failed, unit_stage) in self.open_units.items():
            failed += unit_failed
            done += min(unit_done, size - unit_failed)
            stage = max(stage, unit_stage)
        total, skipped = (self.life.total, self.life.skipped) if self.life else (0, 0)
        room = max(0, total - skipped)
        failed = min(failed, room)
        return Counts(
            done=min(done, room - failed), failed=failed, skipped=min(skipped, total), total=total, stage=stage
        )


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
        life = report.life
        if not (0 <= life.skipped <= life.total and 0 <= life.weight <= 1 and life.epoch >= 0 and life.step >= 0):
            raise BadReportError(f"impossible life of a run: {life}")
        return
    if not report.unit or len(report.unit) > 64:
        raise BadReportError("a unit has a name of at most 64 characters")
    if report.total < 1 or report.done < 0 or report.failed < 0 or report.done + report.failed > report.total:
        raise BadReportError(f"impossible counts: {report.done} + {report.failed} of {report.total}")
    shard = _SHARD.match(report.unit)
    if report.unit.startswith("shard-") and (shard is None or int(shard[1]) > MAX_SHARDS):
        raise BadReportError(f"impossible shard {report.unit!r}")


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
    before = run.open_units.get(key, (0, 0, ""))
    after = (max(before[0], report.done), max(before[1], report.failed), max(before[2], report.stage))
    if after == before:
        # A first report without any work done is remembered: it says that the unit exists.
        if key in run.open_units:
            return False
        run.open_units[key] = after
        return True
    if shard is not None and after[0] + after[1] >= size:
        ordinal = int(shard[1])
        run.open_units.pop(key, None)
        run.finished_shards[size] = run.finished_shards.get(size, 0) | 1 << ordinal
        _raise_failures(run, ordinal, size, after[1])
    else:
        run.open_units[key] = after
    return True


def _raise_failures(run: RunState, ordinal: int, size: int, failed: int) -> bool:
    if failed <= run.finished_failures.get((ordinal, size), 0):
        return False
    run.finished_failures[ordinal, size] = failed
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
