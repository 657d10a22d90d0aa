"""The pace of a phase at work: what was known of it before, and what its own work says, weighed by their doubts.

The logarithm of the pace (seconds per item) is a level plus a swing. The level is what the run comes to in the long
term; the swing is what a busy disk or another tenant adds for a minute or so, an Ornstein–Uhlenbeck process. A Kalman
filter of both (Särkkä, Bayesian Filtering and Smoothing, 2013, ch. 4) takes each stretch of work as one observation of
their average: right after the beginning history or probe decide, later the run's own work does, and a short rest is
expected to go on at the pace of the last minute where a long one returns to the level.
"""

import math
from dataclasses import dataclass
from typing import Final

from triptych_common.progress.durations import LogNormal

SWING: Final = 0.18
"""Standard deviation of the swing, in units of the logarithm of the pace."""
SWING_SECONDS: Final = 60.0
"""How long a swing lasts, in seconds of work: its correlation falls to 1/e."""
DRIFT_PER_SECOND: Final = 0.05**2 / 3600
"""Growth of the level's variance per second of work: conditions change over hours."""
STRETCH_SECONDS: Final = 0.5
"""Least work that makes an observation: shorter stretches tell more about micro-batches than about pace."""
STRETCH_ITEMS: Final = 4
LONG_STRETCH_SECONDS: Final = 10.0
"""A stretch this long is an observation with a single item."""
UNKNOWN: Final = LogNormal(0.0, 5.0)
"""The pace of a phase of which nothing is known."""
_FIRST_NOISE: Final = 0.15**2
_LEAST_NOISE: Final = 0.05**2
_MOST_NOISE: Final = 1.0
_NOISE_MEMORY: Final = 0.05
_SURPRISE: Final = 3.0
"""Standard deviations beyond which an observation is an outlier at first, and a change when it repeats."""
_REPEATS: Final = 4
"""Surprises in a row, to the same side, that are a change: replicas came or went."""


@dataclass(kw_only=True)
class Pace:
    """Belief about a run's pace; mutable, O(1) however long the run is."""

    level: float = UNKNOWN.mean
    """Expected logarithm of the long-term pace, in seconds per item."""
    swing: float = 0.0
    level_variance: float = UNKNOWN.spread**2
    covariance: float = 0.0
    swing_variance: float = SWING**2
    noise: float = _FIRST_NOISE
    """Variance of an observation around the pace, learnt from the observations."""
    surprises: int = 0
    """Surprising observations in a row; negative where they were faster than believed."""
    stretch_seconds: float = 0.0
    stretch_items: int = 0
    observations: int = 0

    @classmethod
    def believed(cls, prior: LogNormal | None) -> "Pace":
        """The belief before any work."""
        known = prior or UNKNOWN
        return cls(level=known.mean, level_variance=known.spread**2)

    def work(self, seconds: float, items: int) -> None:
        """So many items took so many seconds of work, each ≥ 0."""
        self.stretch_seconds += seconds
        self.stretch_items += items
        enough = self.stretch_seconds >= STRETCH_SECONDS and self.stretch_items >= STRETCH_ITEMS
        if enough or (self.stretch_seconds >= LONG_STRETCH_SECONDS and self.stretch_items > 0):
            self._observe(self.stretch_seconds, self.stretch_items)
            self.stretch_seconds, self.stretch_items = 0.0, 0

    def expected(self, items: float) -> LogNormal:
        """Seconds of work that so many more items take, > 0 items."""
        horizon = items * math.exp(min(self.level + self.swing, 50.0))
        kept, average = _swing_over(horizon)
        mean = self.level + kept * self.swing
        return LogNormal(mean + math.log(items), math.sqrt(self._variance_over(kept, average)))

    def _variance_over(self, kept: float, average: float) -> float:
        """Doubt about the average of the pace's logarithm over a time that `_swing_over` describes."""
        of_swing = kept**2 * self.swing_variance + SWING**2 * max(0.0, average - kept**2)
        return max(self.level_variance + 2 * kept * self.covariance + of_swing, 0.0)

    def _observe(self, seconds: float, items: int) -> None:
        self.observations += 1
        kept, average = _swing_over(seconds)
        decay = math.exp(-seconds / SWING_SECONDS)
        self.level_variance += DRIFT_PER_SECOND * seconds
        surprise = math.log(seconds / items) - self.level - kept * self.swing
        noise = self._weigh(surprise, self._variance_over(kept, average), items)
        total = self._variance_over(kept, average) + noise
        with_level = self.level_variance + kept * self.covariance
        with_swing = decay * (self.covariance + kept * self.swing_variance) + SWING**2 * kept * (1 - decay)
        covariance = decay * self.covariance
        swing_variance = decay**2 * self.swing_variance + SWING**2 * (1 - decay**2)
        self.level += with_level / total * surprise
        self.swing = decay * self.swing + with_swing / total * surprise
        self.level_variance -= with_level**2 / total
        self.covariance = covariance - with_level * with_swing / total
        self.swing_variance = swing_variance - with_swing**2 / total

    def _weigh(self, surprise: float, believed: float, items: int) -> float:
        """The observation's variance: as learnt, and that of counting.

        An outlier is trusted less; where outliers repeat, the level itself is doubted.
        """
        counting = 1 / (4 * items)
        total = believed + self.noise + counting
        if surprise**2 <= _SURPRISE**2 * total:
            self.surprises = 0
            learnt = self.noise + _NOISE_MEMORY * (surprise**2 - total)
            self.noise = min(max(learnt, _LEAST_NOISE), _MOST_NOISE)
            return self.noise + counting
        same_side = surprise * self.surprises >= 0
        self.surprises = (self.surprises if same_side else 0) + (1 if surprise > 0 else -1)
        if abs(self.surprises) >= _REPEATS:
            self.level_variance += surprise**2
            self.surprises = 0
            return self.noise + counting
        return surprise**2 / _SURPRISE**2


def _swing_over(seconds: float) -> tuple[float, float]:
    """(how much of a swing now is left in the average over that time, variance of the average over the swing's)."""
    ratio = seconds / SWING_SECONDS
    if ratio < 1e-6:
        return 1.0, 1.0
    kept = -math.expm1(-ratio) / ratio
    return kept, 2 * (1 - kept) / ratio
