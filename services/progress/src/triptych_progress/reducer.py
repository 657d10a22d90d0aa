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

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from triptych_common.progress.evidence import NO_EVIDENCE, Evidence

State = Literal["pending", "running", "paused", "completed", "failed", "cancelled"]
Phase = Literal["training", "face_detection", "clustering"]

PHASES: Final[tuple[Phase, ...]] = ("training", "face_detection", "clustering")
MAX_SHARDS: Final = 1_000_000
"""Greatest shard ordinal that is believed; a run has far fewer."""
MAX_ITEMS: Final = 10**12
"""Greatest number of items that is believed, of a run or a unit."""
MAX_NAME: Final = 64
"""Longest name of a unit or stage that is believed, in characters."""

_SHARD_PREFIX: Final = "shard-"
_MOST_DIGITS: Final = len(str(MAX_SHARDS))


class BadReportError(ValueError):
    """A report that no correct worker sends; it must be dropped, counted and logged."""


class CountsReport(NamedTuple):
    """Absolute counts of one unit of one run. By far the most frequent report, hence a tuple."""

    session_id: int
    phase: Phase
    run: int
    unit: str
    done: int
    failed: int
    total: int
    stage: str = ""

    @property
    def kind(self) -> str:
        """What kind of report it is."""
        return "counts"


@dataclass(frozen=True, kw_only=True, order=True)
class Life:
    """The life of a run as one lifecycle report tells it; later ones compare greater."""

    epoch: int
    step: int
    state: State
    total: int
    skipped: int
    weight: float
    evidence: Evidence = NO_EVIDENCE
    error_code: str = ""
    error_message: str = ""


@dataclass(frozen=True, kw_only=True)
class LifeReport:
    """A change in the life of a run."""

    session_id: int
    phase: Phase
    run: int
    life: Life

    @property
    def kind(self) -> str:
        """What kind of report it is."""
        return "lifecycle"


Report = CountsReport | LifeReport


class OpenUnit(NamedTuple):
    """What is known of a unit that is not a finished shard. Each count is the greatest ever reported."""

    done: int = 0
    failed: int = 0
    stage_at: int = 0
    """done + failed of the report that the stage comes from."""
    stage: str = ""

    def done_within(self, size: int) -> int:
        """Items done of a unit of that size; where reports contradict each other, a failure counts before a result."""
        return min(self.done, size - self.failed)


_UNTOUCHED: Final = OpenUnit()


@dataclass(kw_only=True)
class RunState:
    """One run of one phase: its life, its open units and its finished shards."""

    run: int = 0
    life: Life | None = None
    open_shards: dict[tuple[int, int], OpenUnit] = field(default_factory=dict)
    """(ordinal, size) of a shard → what is known of it."""
    whole_units: dict[tuple[str, int], OpenUnit] = field(default_factory=dict)
    """(unit, size) of the run in one piece → what is known of it."""
    finished_shards: dict[int, int] = field(default_factory=dict)
    """Shard size → bitmap of the ordinals of finished shards."""
    finished_failures: dict[tuple[int, int], int] = field(default_factory=dict)
    """(ordinal, size) of a finished shard → failures in it, where there are any."""
    shards_done: int = 0
    """What all shards add up to, kept because every event asks for it."""
    shards_failed: int = 0

    def recount_shards(self) -> tuple[int, int]:
        """(done, failed) that all shards add up to, one by one."""
        failed = sum(self.finished_failures.values())
        done = sum(size * bitmap.bit_count() for size, bitmap in self.finished_shards.items()) - failed
        for (_, size), unit in self.open_shards.items():
            failed += unit.failed
            done += unit.done_within(size)
        return done, failed

    def counts(self) -> "Counts":
        """What all units add up to, never more than the run's total. A completed run is whole, whatever got lost."""
        total, skipped = (self.life.total, self.life.skipped) if self.life else (0, 0)
        room = total - skipped
        whole_current = whole_failed = 0
        for (_, size), unit in self.whole_units.items():
            whole_current = max(whole_current, _scaled(min(unit.done + unit.failed, size), size, room))
            whole_failed = max(whole_failed, _scaled(unit.failed, size, room))
        failed = min(self.shards_failed + whole_failed, room)
        done = min(self.shards_done + whole_current - whole_failed, room - failed)
        if self.life is not None and self.life.state == "completed":
            done = room - failed
        return Counts(done, failed, skipped, total)

    def stage(self) -> str:
        """The stage of the unit that has come furthest; empty where none is told."""
        units = (*self.whole_units.values(), *self.open_shards.values())
        return max(((unit.stage_at, unit.stage) for unit in units), default=(0, ""))[1]


def _scaled(count: int, size: int, room: int) -> int:
    """So much of a size as items of another size; rounded up, so that the share is not less."""
    return -(-room * count // size)


class Counts(NamedTuple):
    """Items of a run: done + failed + skipped ≤ total."""

    done: int
    failed: int
    skipped: int
    total: int

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
    _ordinal_of(report.unit)


def _ordinal_of(unit: str) -> int | None:
    """The ordinal of a shard, None of another unit. Raises BadReportError for a shard that cannot be."""
    if not unit.startswith(_SHARD_PREFIX):
        return None
    digits = unit[len(_SHARD_PREFIX) :]
    # Each ordinal has one name: "shard-07" would be another unit than "shard-7".
    if digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS and (digits[0] != "0" or digits == "0"):
        ordinal = int(digits)
        if ordinal <= MAX_SHARDS:
            return ordinal
    raise BadReportError(f"impossible shard {unit!r}")


def _check_life(life: Life) -> None:
    if not 0 <= life.skipped <= life.total <= MAX_ITEMS:
        raise BadReportError(f"impossible counts of a run: {life.skipped} skipped of {life.total}")
    if life.epoch < 0 or life.step < 0:
        raise BadReportError(f"impossible epoch {life.epoch} or step {life.step}")
    # Also false for what is not a number, which would have no place in the order of lives.
    if not (0 <= life.weight <= 1 and life.evidence.is_credible()):
        raise BadReportError(f"impossible weight {life.weight} or {life.evidence}")


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
    ordinal = _ordinal_of(report.unit)
    if ordinal is not None:
        return _fold_shard(run, ordinal, report)
    key = (report.unit, report.total)
    known = run.whole_units.get(key)
    after = _join(known or _UNTOUCHED, report)
    if after == known:
        return False
    run.whole_units[key] = after
    return True


def _fold_shard(run: RunState, ordinal: int, report: CountsReport) -> bool:
    size = report.total
    if run.finished_shards.get(size, 0) >> ordinal & 1:
        return _raise_failures(run, ordinal, size, report.failed)
    key = (ordinal, size)
    known = run.open_shards.get(key)
    before = known or _UNTOUCHED
    after = _join(before, report)
    if after == known:
        return False
    done_before, done_after = before.done_within(size), after.done_within(size)
    if after.done + after.failed >= size:
        run.open_shards.pop(key, None)
        run.finished_shards[size] = run.finished_shards.get(size, 0) | 1 << ordinal
        if after.failed:
            run.finished_failures[key] = after.failed
        done_after = size - after.failed
    else:
        run.open_shards[key] = after
    run.shards_done += done_after - done_before
    run.shards_failed += after.failed - before.failed
    return True


def _join(before: OpenUnit, report: CountsReport) -> OpenUnit:
    reported_at = report.done + report.failed
    if (reported_at, report.stage) >= (before.stage_at, before.stage):
        stage_at, stage = reported_at, report.stage
    else:
        stage_at, stage = before.stage_at, before.stage
    return OpenUnit(max(before.done, report.done), max(before.failed, report.failed), stage_at, stage)


def _raise_failures(run: RunState, ordinal: int, size: int, failed: int) -> bool:
    """Note failures of a finished shard, which until then counted as done."""
    more = failed - run.finished_failures.get((ordinal, size), 0)
    if more <= 0:
        return False
    run.finished_failures[ordinal, size] = failed
    run.shards_failed += more
    run.shards_done -= more
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
