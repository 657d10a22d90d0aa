"""One session as the aggregator keeps it: the fold's state, and beside it what depends on time."""

from dataclasses import dataclass, field
from typing import Final

from triptych_progress.eta import Outlook, expect, prior_of
from triptych_progress.reducer import (
    PHASES,
    CountsReport,
    Phase,
    Report,
    SessionState,
    fold,
    overall_percentage,
)
from triptych_progress.work_clock import WorkClock

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
            clock.begin(seconds, run.counts().current, prior=prior_of(report.phase, report.life))
        else:
            clock.halt()
        return True

    def percentage(self) -> float:
        """Overall percentage, 0..100."""
        return overall_percentage(self.state)

    def outlook(self) -> Outlook:
        """What is expected of each phase, and until all is done."""
        return expect(self.state, self.clocks)

    def stalled_since(self, phase: Phase) -> int | None:
        """When work of a phase was last seen, where readers are to be told of a stall; in microseconds since 1970."""
        clock = self.clocks.get(phase)
        if clock is None or not clock.is_stalled or clock.last_time_seconds is None:
            return None
        return round(clock.last_time_seconds / MICROSECOND)

    def tick(self, now_microseconds: int) -> bool:
        """Look whether a stall has begun by now, of which readers are to be told; tells so once.

        The revision is then the moment at which the silence became a stall, the same for every replica.
        """
        begun = False
        for clock in self.clocks.values():
            moment = clock.stalls_at()
            if moment is not None and not clock.is_stalled and moment < now_microseconds * MICROSECOND:
                clock.is_stalled = begun = True
                self.revision = max(self.revision + 1, round(moment / MICROSECOND))
        return begun

    def is_over(self) -> bool:
        """Whether nothing is at work, held or waiting: all phases are completed, or one ended without success."""
        states = [life.state if (life := self.state.phases[phase].life) is not None else "pending" for phase in PHASES]
        if "running" in states or "paused" in states:
            return False
        return "failed" in states or "cancelled" in states or "pending" not in states
