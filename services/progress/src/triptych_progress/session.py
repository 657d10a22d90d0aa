"""One session as the aggregator keeps it: the fold's state, and beside it what depends on time."""

from dataclasses import dataclass, field
from typing import Final

from triptych_progress.eta import Expectation, WorkClock, expect_all, expect_phases
from triptych_progress.reducer import (
    PHASES,
    CountsReport,
    Phase,
    Report,
    SessionState,
    fold,
    overall_percentage,
)

MICROSECOND: Final = 1e-6


@dataclass(kw_only=True)
class Session:
    """State, clocks and revision of a session."""

    state: SessionState = field(default_factory=SessionState)
    clocks: dict[Phase, WorkClock] = field(default_factory=dict)
    revision: int = 0
    """The stream's time of the last event that changed anything, in microseconds since 1970; only grows."""

    def apply(self, report: Report, *, time_microseconds: int) -> bool:
        """Fold a report that the stream took at that time; tells whether anything changed.

        Raises BadReportError and changes nothing.
        """
        if not fold(self.state, report):
            return False
        self.revision = max(self.revision + 1, time_microseconds)
        run = self.state.phases[report.phase]
        clock = self.clocks.get(report.phase)
        if clock is None or clock.run != run.run:
            clock = self.clocks[report.phase] = WorkClock(run=run.run)
        seconds = time_microseconds * MICROSECOND
        if isinstance(report, CountsReport):
            clock.advance(seconds, run.counts().current)
        elif report.life.state == "running":
            clock.begin(seconds, run.counts().current)
        else:
            clock.halt()
        return True

    def percentage(self) -> float:
        """Overall percentage, 0..100."""
        return overall_percentage(self.state)

    def expectations(self) -> tuple[dict[Phase, Expectation | None], Expectation | None]:
        """Expected seconds per phase, and until all is done."""
        phases = expect_phases(self.state, self.clocks)
        return phases, expect_all(self.state, phases)

    def is_over(self) -> bool:
        """Whether no phase is at work or waiting."""
        lives = [self.state.phases[phase].life for phase in PHASES]
        return all(life is not None and life.state in ("completed", "failed", "cancelled") for life in lives)
