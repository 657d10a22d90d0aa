"""How long a run is expected to take, by its evidence: as equally likely durations, so that any two can be added.

A phase of photos costs the same for each: its pace (seconds per item) is log-normal around the installation's past
runs, or around a probe. Clustering costs more the more faces there are, along a curve whose parameters are weighed by
how well they explain past clusterings, or the probe's few sizes. The curve has a bend where the clusterer ceases to
compare all pairs of faces: what few faces took, at a cost that grows with their square, says little of many.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from triptych_common.progress.evidence import Evidence, Timing

SAMPLES: Final = 256
"""Equally likely values that stand for a distribution."""
RUN_DOUBT: Final = 0.15
"""How much the pace of runs on one machine differs: standard deviation of its logarithm, before there is a history."""
PROBE_DOUBT: Final = 0.22
"""How far a probe's pace may be from the run's, likewise."""
_DOUBT_WEIGHT: Final = 2.0
"""Past runs that RUN_DOUBT counts as much as."""
_EXPONENTS: Final = np.linspace(0.9, 1.9, 11)
"""Exponents that a clustering's cost may have, all held for equally likely: between linear and quadratic."""
_CONSTANTS: Final = np.array([0.0, 0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 1.0, 1.1])
"""Time that a clustering of hardly any faces may take, as a share of the shortest timing, likewise."""
_SHARES: Final = np.exp(np.linspace(math.log(0.005), math.log(1.4), 48))
"""Share of the largest timing that its faces may account for, likewise; the rest is the constant."""
_BENDS: Final = ((1.0, None), *((0.8, exponent) for exponent in (1.0, 1.1, 1.25, 1.5)))
"""What the cost is multiplied by at the bend, and its exponent above: None for that of below, so no bend, which is as
likely as all others together, as a clusterer short of memory ceases to compare all pairs earlier."""
EXACT_CLUSTERING_UP_TO: Final = 10_000.0
"""Faces up to which the clusterer compares all pairs, where the curve bends."""

Samples = NDArray[np.float64]
"""[SAMPLES] equally likely values."""


class LogNormal(NamedTuple):
    """A quantity by its natural logarithm."""

    mean: float
    spread: float
    """Standard deviation, ≥ 0."""

    def samples(self, stream: int) -> Samples:
        """Equally likely values; those of different streams (0, 1, 2 …) are independent of each other."""
        drawn: Samples = np.exp(self.mean + self.spread * standard_normal(stream))
        return drawn


@lru_cache(maxsize=32)
def standard_normal(stream: int) -> Samples:
    """Evenly spread standard normal values in an order of the stream's own. Do not write into it."""
    quantile = NormalDist().inv_cdf
    even = np.array([quantile((rank + 0.5) / SAMPLES) for rank in range(SAMPLES)])
    shuffled: Samples = np.random.default_rng(stream).permutation(even)
    shuffled.flags.writeable = False
    return shuffled


@lru_cache(maxsize=4096)
def expected_pace(evidence: Evidence) -> LogNormal | None:
    """Seconds per item of a phase whose items cost the same each; None where there is no evidence."""
    of_history = _pace(evidence.history, doubt=RUN_DOUBT)
    of_probe = _pace(evidence.probe, doubt=PROBE_DOUBT)
    if of_history is None or of_probe is None:
        return of_history or of_probe
    return combine(of_history, of_probe)


def combine(one: LogNormal, other: LogNormal) -> LogNormal:
    """What two independent beliefs say together."""
    weight, other_weight = 1 / max(one.spread, 1e-6) ** 2, 1 / max(other.spread, 1e-6) ** 2
    mean = (weight * one.mean + other_weight * other.mean) / (weight + other_weight)
    return LogNormal(mean, (weight + other_weight) ** -0.5)


def _pace(timings: Sequence[Timing], *, doubt: float) -> LogNormal | None:
    """The predictive distribution of the next run's pace: a mean of logarithms, larger runs counting more."""
    if not timings:
        return None
    logs = [math.log(one.seconds / one.items) for one in timings]
    # A run of a few items says less: its beginning and end weigh more in it.
    weights = [one.items / (one.items + 20) for one in timings]
    total = sum(weights)
    mean = sum(weight * log for weight, log in zip(weights, logs, strict=True)) / total
    around = sum(weight * (log - mean) ** 2 for weight, log in zip(weights, logs, strict=True))
    variance = (_DOUBT_WEIGHT * doubt**2 + around) / (_DOUBT_WEIGHT + max(total - 1, 0.0))
    return LogNormal(mean, math.sqrt(variance * (1 + 1 / max(total, 0.2))))


@dataclass(frozen=True, kw_only=True)
class CostCurve:
    """Equally likely curves ``constant + scale · xᵉ`` of ``x = items / EXACT_CLUSTERING_UP_TO``, arrays [SAMPLES].

    Where x is above 1 they are ``constant + scale · step · xᶠ``.
    """

    constant: Samples
    scale: Samples
    exponent: Samples
    """e."""
    step: Samples
    """What the cost of so many items more than the bend is multiplied by."""
    exponent_above: Samples
    """f."""

    def seconds(self, items: Samples | float) -> Samples:
        """Equally likely durations for so many items (≥ 0, one value or [SAMPLES] of them)."""
        work = _clustering_work(np.asarray(items), self.exponent, self.step, self.exponent_above)
        cost: Samples = self.constant + self.scale * work
        return cost


def _clustering_work(items: Samples, exponent: Samples, step: Samples, exponent_above: Samples) -> Samples:
    """What so many items (≥ 0) cost beside as many as there are at the bend; arrays broadcast."""
    share = np.maximum(items, 0.0) / EXACT_CLUSTERING_UP_TO
    below = share <= 1
    with np.errstate(divide="ignore"):
        # Of no items the logarithm is -∞, and the power 0.
        work: Samples = np.where(below, 1.0, step) * np.exp(np.where(below, exponent, exponent_above) * np.log(share))
    return work


def cost_curve(evidence: Evidence) -> CostCurve | None:
    """The curves that explain past clusterings, or the probe; None where there is no evidence.

    A Bayesian fit over a grid: each curve is drawn in proportion to how likely it makes the timings, whose logarithms
    are normal around it.
    """
    return _cost_curve(evidence.history, evidence.probe) if evidence.history or evidence.probe else None


@lru_cache(maxsize=512)
def _cost_curve(history: tuple[Timing, ...], probe: tuple[Timing, ...]) -> CostCurve:
    items, seconds = np.array([*history, *probe]).T
    doubts = np.array([RUN_DOUBT] * len(history) + [PROBE_DOUBT] * len(probe))
    largest = int(items.argmax())
    bends = np.array([(1.0, np.nan) if above is None else (step, above) for step, above in _BENDS])
    constant, share, exponent, bend = (
        grid.ravel()[:, None]
        for grid in np.meshgrid(_CONSTANTS * seconds.min(), _SHARES, _EXPONENTS, range(len(bends)))
    )
    step, above = bends[bend, 0], np.where(np.isnan(bends[bend, 1]), exponent, bends[bend, 1])
    scale = share * seconds[largest] / _clustering_work(items[largest], exponent, step, above)
    explained = np.log(constant + scale * _clustering_work(items, exponent, step, above))
    prior = np.where(bend[:, 0] == 0, len(bends) - 1.0, 1.0)
    likelihood = prior * np.exp(-0.5 * (((np.log(seconds) - explained) / doubts) ** 2).sum(axis=1))
    total = likelihood.sum()
    places = (np.arange(SAMPLES) + 0.5) / SAMPLES
    # Timings that no curve explains leave every curve as likely as the next.
    chosen = np.searchsorted(np.cumsum(likelihood / total), places) if total > 0 else (places * len(scale)).astype(int)
    chosen = np.random.default_rng(SAMPLES).permutation(np.minimum(chosen, len(scale) - 1))
    drift = np.exp(RUN_DOUBT * standard_normal(8))
    return CostCurve(
        constant=constant.ravel()[chosen] * drift,
        scale=scale.ravel()[chosen] * drift,
        exponent=exponent.ravel()[chosen],
        step=step.ravel()[chosen],
        exponent_above=above.ravel()[chosen],
    )


def likely_seconds(phase: str, *, items: float, evidence: Evidence, stream: int = 0) -> Samples | None:
    """Equally likely seconds of work for a whole run of a phase; None where there is no evidence.

    ``items`` is the work to do; where the evidence doubts how many there will be, that doubt is part of the answer.
    """
    number: Samples | float = items
    if evidence.expected_items_spread > 0 and items > 0:
        number = LogNormal(math.log(items), evidence.expected_items_spread).samples(stream + 4)
    if phase == "clustering":
        curve = cost_curve(evidence)
        return None if curve is None else curve.seconds(number) * (np.asarray(number) > 0)
    pace = expected_pace(evidence)
    return None if pace is None else pace.samples(stream) * number


def expected_seconds(phase: str, *, items: float, evidence: Evidence) -> float | None:
    """Expected seconds of work (the median) for so many items of a phase; None where there is no evidence."""
    seconds = likely_seconds(phase, items=items, evidence=evidence)
    return None if seconds is None else float(np.median(seconds))
