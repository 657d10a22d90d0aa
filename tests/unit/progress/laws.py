"""The laws of progress as they can be seen from outside: of what an aggregator has folded, and of what is shown.

Law 1, that order and repetition do not matter, compares several states; those who have them hold it.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from tests.unit.progress.simulated_parts import WEIGHTS
from triptych_gateway.api import schemas
from triptych_progress.eta import Expectation
from triptych_progress.reducer import (
    PHASES,
    Counts,
    Life,
    LifeReport,
    Phase,
    Report,
    floor_percentage,
    phase_percentage,
)
from triptych_progress.session import Session

PHASE_KEYS: Final = {"training": "training", "face_detection": "faceDetection", "clustering": "clustering"}
_ROUNDING: Final = 1e-6


def check_folded(session: Session) -> None:
    """Laws 2, 4 and 5 of what is folded, and that its ETA makes sense."""
    completed, exact = True, 0.0
    for run in session.state.phases.values():
        counts = run.counts()
        assert min(counts) >= 0
        assert counts.done + counts.failed + counts.skipped == counts.current <= counts.total
        is_completed = run.life is not None and run.life.state == "completed"
        assert counts.current == counts.total or not is_completed
        completed = completed and is_completed
        exact += run.life.weight * phase_percentage(counts, run.life.state) if run.life is not None else 0.0
    percentage = session.percentage()
    assert (percentage == 100) == completed
    assert completed or percentage == floor_percentage(exact)
    outlook = session.outlook()
    for expected in (*outlook.phases.values(), outlook.overall):
        if expected is not None:
            _check_expected(expected)


def _check_expected(expected: Expectation) -> None:
    assert 0 <= expected.seconds < math.inf
    assert (expected.low_seconds is None) == (expected.high_seconds is None)
    if expected.low_seconds is not None and expected.high_seconds is not None:
        assert 0 <= expected.low_seconds <= expected.seconds <= expected.high_seconds < math.inf


def check_shown(body: Mapping[str, Any]) -> None:
    """Laws 2, 4 and 5 of what is shown, that its ETA makes sense, and that it is what the contract says."""
    schemas.UnifiedProgress.model_validate(body)
    overall, status = body["overallProgress"], body["overallStatus"]
    phases = [body["phases"][PHASE_KEYS[phase]] for phase in PHASES]
    exact = 0.0
    for phase in phases:
        stats = phase["progress"]
        assert 0 <= phase["failed"] + (stats["skipped"] or 0) <= stats["current"] <= stats["total"]
        share = stats["current"] / stats["total"] if stats["total"] else float(phase["status"] == "completed")
        assert stats["percentage"] == math.floor(1000 * share + _ROUNDING) / 10
        exact += 100 * WEIGHTS[phase["name"]] * share
        assert stats["etaSeconds"] is None or stats["etaSeconds"] >= 0
        assert (phase["error"] is not None) == (phase["status"] == "failed")
        assert stats["percentage"] == 100 or phase["status"] != "completed"
    assert (overall["percentage"] == 100) == (status == "completed")
    assert status == "completed" or overall["percentage"] == floor_percentage(exact)
    ahead = [phase["name"] for phase in phases if phase["status"] != "completed"]
    assert overall["currentPhase"] == ("completed" if status == "completed" else [*ahead, PHASES[-1]][0])
    _check_shown_eta(overall, status)


def _check_shown_eta(overall: Mapping[str, Any], status: str) -> None:
    eta, low, high = (overall[key] for key in ("etaSeconds", "etaLowSeconds", "etaHighSeconds"))
    assert (low is None) == (high is None)
    assert eta is None or eta >= 0
    assert low is None or 0 <= low <= eta <= high
    assert overall["elapsedSeconds"] is None or overall["elapsedSeconds"] >= 0
    if status != "running":
        assert eta == (0 if status == "completed" else None)


class PlainFold:
    """What reports add up to by the words of the laws alone: everything is kept, and nothing compacted."""

    def __init__(self) -> None:
        self._units: dict[tuple[Phase, int], dict[tuple[str, int], tuple[int, int]]] = {}
        """(phase, run) → (unit, size) → the greatest counts."""
        self._lives: dict[tuple[Phase, int], Life] = {}

    def take(self, report: Report) -> None:
        """Take a report that could be true."""
        run = (report.phase, report.run)
        units = self._units.setdefault(run, {})
        if isinstance(report, LifeReport):
            lives = (self._lives.get(run, report.life), report.life)
            self._lives[run] = max(lives, key=lambda life: (life.epoch, life.step))
        else:
            done, failed = units.get((report.unit, report.total), (0, 0))
            units[report.unit, report.total] = (max(done, report.done), max(failed, report.failed))

    def counts(self) -> dict[Phase, tuple[int, Counts]]:
        """The latest run of each phase, and its counts."""
        return {phase: self._counts(phase) for phase in PHASES}

    def _counts(self, phase: Phase) -> tuple[int, Counts]:
        number = max((run for name, run in self._units if name == phase), default=0)
        life = self._lives.get((phase, number))
        if life is None:
            return number, Counts(0, 0, 0, 0)
        units = self._units[phase, number].items()
        room = life.total - life.skipped
        failed = min(sum(failed for _, (_, failed) in units), room)
        done = sum(min(done, size - failed) for (_, size), (done, failed) in units)
        done = room - failed if life.state == "completed" else min(done, room - failed)
        return number, Counts(done, failed, life.skipped, life.total)


class Bar:
    """Law 3 for one reader: within a run no percentage falls, nor does the overall one while no phase begins anew."""

    def __init__(self) -> None:
        self._runs: tuple[object, ...] = ()
        self._percentages: tuple[float, ...] = ()
        self._overall = 0.0

    def look(self, runs: tuple[object, ...], percentages: tuple[float, ...], overall: float) -> None:
        """See the bar of each phase, and the overall one, once more."""
        before = zip(self._runs, self._percentages, strict=True)
        for (number_before, percentage_before), number, percentage in zip(before, runs, percentages, strict=False):
            assert number != number_before or percentage >= percentage_before, "a phase's bar moved back"
        assert runs != self._runs or overall >= self._overall, "the bar moved back"
        self._runs, self._percentages, self._overall = runs, percentages, overall

    def look_at_folded(self, session: Session) -> None:
        """See what an aggregator has folded."""
        runs = session.state.phases.values()
        self.look(
            tuple(run.run for run in runs),
            tuple(phase_percentage(run.counts(), run.life.state if run.life else "pending") for run in runs),
            session.percentage(),
        )

    def look_at_shown(self, body: Mapping[str, Any], *, heard_runs: tuple[int, ...]) -> None:
        """See what a gateway shows that has heard of these runs.

        One that has heard of a newer run than it has read of shows the older one as it was committed: that one is over.
        """
        phases = [body["phases"][PHASE_KEYS[phase]] for phase in PHASES]
        self.look(
            tuple((phase["run"], max(phase["run"], heard)) for phase, heard in zip(phases, heard_runs, strict=True)),
            tuple(phase["progress"]["percentage"] for phase in phases),
            body["overallProgress"]["percentage"],
        )
