"""Time worked and items done in one run of a phase, by the stream's timestamps: pauses and stalls do not count."""

import math
from dataclasses import dataclass, field
from typing import Final

from triptych_common.progress.durations import LogNormal
from triptych_progress.pace import Pace

STALL_SECONDS: Final = 10.0
"""Silence longer than this (and than six times the usual gap between reports) is a stall."""
_SLOW: Final = 3.0
"""A report after such a silence is of work all the same, unless it took this many times as long as its items should."""
_USUAL_GAPS: Final = 6.0
_ITEMS_AT_ONCE: Final = 8
"""Items that a service usually reports together."""
_MEMORY: Final = 0.2
_RATE_SECONDS: Final = 30.0
RATE_AFTER_SECONDS: Final = 2.0
"""Work, and items, before which there is no rate: two photos that were read from memory would promise thousands a
minute."""
RATE_AFTER_ITEMS: Final = 4


@dataclass(kw_only=True)
class WorkClock:
    """The clock of one run."""

    run: int
    pace: Pace = field(default_factory=Pace)
    worked_seconds: float = 0.0
    worked_items: int = 0
    current: int = 0
    """Where the run's count stood last, with what was skipped or done while nobody timed it."""
    last_time_seconds: float | None = None
    """When work was last seen; None while the run is halted."""
    usual_gap_seconds: float = 1.0
    rate: float | None = None
    """Items per second over about the last half minute of work; None until so much was done that it can be believed."""
    is_stalled: bool = False
    """Whether readers were told that nothing goes on."""

    knows_pace: bool = False
    """Whether the pace rests on anything: on what was known before, or on work."""

    def begin(self, time_seconds: float, current: int, *, prior: LogNormal | None) -> None:
        """The run works from now on (it started, was resumed or goes on): what lies between does not count.

        ``prior`` is the pace, in seconds per item, that it is believed to have where it has not worked yet.
        """
        if self.last_time_seconds is None:
            self.last_time_seconds = time_seconds
        if self.pace.observations == 0 and prior is not None:
            self.pace = Pace.believed(prior)
            self.usual_gap_seconds = min(max(1.0, _ITEMS_AT_ONCE * math.exp(prior.mean)), STALL_SECONDS)
            self.knows_pace = True
        self.current = max(self.current, current)

    def halt(self) -> None:
        """The run works no more (it was paused, or ended)."""
        self.last_time_seconds = None
        self.is_stalled = False

    def advance(self, time_seconds: float, current: int) -> None:
        """The count stands at ``current`` at that time. Timestamps that go back count as no time.

        What arrives while the run is halted was in flight: it counts neither as time nor as work.
        """
        if self.last_time_seconds is None:
            self.current = max(self.current, current)
            return
        items = current - self.current
        if items <= 0:
            return
        gap = max(0.0, time_seconds - self.last_time_seconds)
        limit = self._longest_gap()
        worked = self._worked_in(gap, items)
        self.worked_seconds += worked
        self.worked_items += items
        self.usual_gap_seconds += _MEMORY * (min(gap, limit) - self.usual_gap_seconds)
        self.last_time_seconds = max(time_seconds, self.last_time_seconds)
        self.current = current
        self.is_stalled = False
        self.pace.work(worked, items)
        self.knows_pace = self.knows_pace or self.pace.observations > 0
        self._note_rate(worked, items)

    def _worked_in(self, gap: float, items: int) -> float:
        """How much of the time between reports was work: all of it, or after a stall what the items usually take."""
        if gap <= self._longest_gap():
            return gap
        usual = math.exp(self.pace.expected(items).mean) if self.knows_pace else self.usual_gap_seconds
        return gap if gap <= _SLOW * usual else usual

    def stalls_at(self) -> float | None:
        """When the present silence is, or will be, a stall; None while the run is halted."""
        return None if self.last_time_seconds is None else self.last_time_seconds + self._longest_gap()

    def _longest_gap(self) -> float:
        return max(STALL_SECONDS, _USUAL_GAPS * self.usual_gap_seconds)

    def _note_rate(self, seconds: float, items: int) -> None:
        """Join the newest work into an average whose weights fade over _RATE_SECONDS."""
        if self.rate is None:
            if self.worked_seconds >= RATE_AFTER_SECONDS and self.worked_items >= RATE_AFTER_ITEMS:
                self.rate = self.worked_items / self.worked_seconds
            return
        share = min(1.0, seconds / min(_RATE_SECONDS, max(self.worked_seconds, seconds)))
        pace = seconds / items
        self.rate = 1 / ((1 - share) / self.rate + share * pace) if share > 0 else self.rate
