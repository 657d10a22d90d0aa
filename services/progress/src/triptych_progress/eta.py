"""How long the rest will take: seconds per phase from recent work and from history, never from the percentage.

The time that a phase still needs is its remaining items × seconds per item. Seconds per item come from the run's own
recent work, weighted against the installation's history as if that were a few items already seen:

    seconds_per_item = (prior · PRIOR_ITEMS + recent seconds) / (PRIOR_ITEMS + recent items)

A phase that has not begun is expected to take its prior. Where there is no prior, its share of the expected time is
taken from the weights, and the range says how little is known.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from triptych_progress.reducer import PHASES, Phase, SessionState

PRIOR_ITEMS: Final = 12
"""How many items of own experience weigh as much as the history."""
RECENT_SECONDS: Final = 60.0
"""How far back work counts as recent, at least; longer runs look back over a quarter of their time."""
STALL_SECONDS: Final = 10.0
"""A gap between reports longer than this (and than six times the usual gap) is a stall: the rest of it was no work."""
_MAX_SAMPLES: Final = 256


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """Expected seconds, with the range in which the truth is believed to lie."""

    seconds: float
    low_seconds: float
    high_seconds: float


@dataclass(kw_only=True)
class WorkClock:
    """Time worked and items done in one run of a phase, by the stream's timestamps."""

    run: int
    worked_seconds: float = 0.0
    worked_items: int = 0
    samples: deque[tuple[float, int]] = field(default_factory=lambda: deque([(0.0, 0)], maxlen=_MAX_SAMPLES))
    """(worked seconds, worked items): the beginning, then whenever items were done."""
    current: int = 0
    """Where the run's count stood last, with what was skipped or done while nobody timed it."""
    last_time_seconds: float | None = None
    """When work was last seen; None while the run is halted."""
    usual_gap_seconds: float = 1.0

    def begin(self, time_seconds: float, current: int) -> None:
        """The run works from now on (it started, was resumed or goes on): what lies between does not count."""
        if self.last_time_seconds is None:
            self.last_time_seconds = time_seconds
        self.current = max(self.current, current)

    def halt(self) -> None:
        """The run works no more (it was paused, or ended)."""
        self.last_time_seconds = None

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
        limit = max(STALL_SECONDS, 6 * self.usual_gap_seconds)
        self.worked_seconds += min(gap, limit)
        self.worked_items += items
        self.usual_gap_seconds += 0.2 * (min(gap, limit) - self.usual_gap_seconds)
        self.last_time_seconds = max(time_seconds, self.last_time_seconds)
        self.current = current
        self._sample()

    def _sample(self) -> None:
        """Keep a sample; when they become many, keep every other of the older half."""
        if len(self.samples) == _MAX_SAMPLES:
            kept = list(self.samples)
            self.samples.clear()
            self.samples.extend(kept[: _MAX_SAMPLES // 2 : 2] + kept[_MAX_SAMPLES // 2 :])
        self.samples.append((self.worked_seconds, self.worked_items))

    def recent(self) -> tuple[float, int]:
        """(seconds, items) of the recent work; (0, 0) before there is any."""
        if len(self.samples) < 2:
            return 0.0, 0
        window = max(RECENT_SECONDS, self.worked_seconds / 4)
        first = next(s for s in self.samples if s[0] >= self.worked_seconds - window)
        if first is self.samples[-1]:
            first = self.samples[-2]
        last = self.samples[-1]
        return last[0] - first[0], last[1] - first[1]

    def items_per_second(self) -> float | None:
        """Recent rate; None before there is any work to tell it from."""
        seconds, items = self.recent()
        return items / seconds if seconds > 0 and items > 0 else None


def expect_phases(state: SessionState, clocks: dict[Phase, WorkClock]) -> dict[Phase, Expectation | None]:
    """Expected seconds of work left in each phase; None where nothing is known or the phase is over."""
    expectations: dict[Phase, Expectation | None] = {}
    per_weight = _seconds_per_weight(state, clocks)
    for phase in PHASES:
        run = state.phases[phase]
        life = run.life
        if life is None or life.state in ("completed", "failed", "cancelled"):
            expectations[phase] = None
            continue
        counts = run.counts()
        remaining = counts.total - counts.current
        known = _seconds_per_item(life.prior_seconds_per_item, clocks.get(phase))
        if known is not None and counts.total > 0:
            share_seen = counts.current / counts.total
            doubt = 0.5 * (1 - share_seen) + 0.1 if life.prior_seconds_per_item == 0 else 0.25 * (1 - share_seen) + 0.1
            expectations[phase] = _around(remaining * known, doubt)
        elif per_weight is not None:
            unseen = remaining / counts.total if counts.total else 1.0
            expectations[phase] = _around(per_weight * life.weight * unseen, 0.7)
        else:
            expectations[phase] = None
    return expectations


def expect_all(state: SessionState, expectations: dict[Phase, Expectation | None]) -> Expectation | None:
    """Expected seconds until every phase is done; None where one to do is unknown or held, or none is to do."""
    seconds = low = high = 0.0
    lives = [(phase, state.phases[phase].life) for phase in PHASES]
    ahead = [(phase, life) for phase, life in lives if life is None or life.state != "completed"]
    if not ahead:
        return None
    for phase, life in ahead:
        expected = expectations[phase]
        if expected is None or life is None or life.state == "paused":
            return None
        seconds += expected.seconds
        low += expected.low_seconds
        high += expected.high_seconds
    return Expectation(seconds=seconds, low_seconds=low, high_seconds=high)


def _seconds_per_item(prior: float, clock: WorkClock | None) -> float | None:
    seconds, items = clock.recent() if clock is not None else (0.0, 0)
    if prior > 0:
        return (prior * PRIOR_ITEMS + seconds) / (PRIOR_ITEMS + items)
    return seconds / items if seconds > 0 and items > 0 else None


def _seconds_per_weight(state: SessionState, clocks: dict[Phase, WorkClock]) -> float | None:
    """Whole time of the phases whose pace is known ÷ their weight: what a phase of unknown pace is guessed by."""
    seconds = weight = 0.0
    for phase in PHASES:
        run = state.phases[phase]
        if run.life is None:
            continue
        pace = _seconds_per_item(run.life.prior_seconds_per_item, clocks.get(phase))
        counts = run.counts()
        if pace is not None and counts.total > counts.skipped:
            seconds += pace * counts.total
            weight += run.life.weight
    return seconds / weight if weight > 0 else None


def _around(seconds: float, doubt: float) -> Expectation:
    return Expectation(seconds=seconds, low_seconds=seconds * (1 - doubt), high_seconds=seconds * (1 + doubt) + 1)
