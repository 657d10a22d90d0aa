"""How long the rest will take: seconds of work per phase and in all, never from the percentage.

A phase at work goes on at the pace of its own recent work, weighed against what was known before (`pace`). A phase
ahead takes what its evidence says: history, a probe, for clustering a cost curve
(`triptych_common.progress.durations`). Where there is no evidence, its share of the expected time is taken from the
weights, and much doubted. Each phase's rest is a set of equally likely durations, so that the sum of the phases has a
range of its own: its ends are not the sums of the phases' ends, which would only come together if all phases went
wrong at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from triptych_common.progress.durations import (
    SAMPLES,
    LogNormal,
    Samples,
    expected_pace,
    likely_seconds,
    standard_normal,
)
from triptych_progress.reducer import PHASES, Counts, Life, Phase, RunState, SessionState
from triptych_progress.work_clock import WorkClock

RANGE: Final = (0.07, 0.93)
"""Quantiles of the equally likely durations that a stated range lies between."""
WIDEST: Final = 0.6
"""A range is stated only if it is at most this share of the shortest that the session is likely to take (a 2 % chance
of less): a wider one, such as "between a minute and an hour", helps nobody."""
_SHORTEST: Final = 0.02
GUESS_SPREAD: Final = 0.8
"""Doubt about a phase that is guessed by its weight: standard deviation of the logarithm."""


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """Expected seconds of work, and the range in which the truth is believed to lie."""

    seconds: float
    low_seconds: float | None
    """None, as the other end, where too little is known for a range that says anything."""
    high_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What is expected of a session."""

    phases: Mapping[Phase, Expectation | None]
    """Of each phase that is ahead or at work; None where it is over, or nothing is known."""
    overall: Expectation | None
    """Until every phase is done; None where one is unknown, held or ended without success, or nothing is ahead."""


def prior_of(phase: Phase, life: Life) -> LogNormal | None:
    """The pace that a run is believed to have before it works, in seconds per item; None where nothing is known."""
    if phase != "clustering":
        return expected_pace(life.evidence)
    items = max(life.total - life.skipped, 1)
    seconds = likely_seconds(phase, items=items, evidence=life.evidence)
    if seconds is None:
        return None
    logs = np.log(np.maximum(seconds, 1e-9) / items)
    return LogNormal(float(np.median(logs)), float(logs.std()))


def expect(state: SessionState, clocks: Mapping[Phase, WorkClock]) -> Outlook:
    """What is expected of a session in that state."""
    worked = sum(clock.worked_seconds for clock in clocks.values())
    counts = {phase: run.counts() for phase, run in state.phases.items()}
    rests = {phase: _rest(phase, state.phases[phase], counts[phase], clocks.get(phase)) for phase in PHASES}
    _guess_by_weight(state, counts, clocks, rests)
    phases = {phase: None if (rest := rests[phase]) is None else _expectation(rest, worked) for phase in PHASES}
    lives = [(phase, state.phases[phase].life) for phase in PHASES]
    ahead = [(phase, life) for phase, life in lives if life is None or life.state != "completed"]
    total = np.zeros(SAMPLES)
    for phase, life in ahead:
        rest = rests[phase]
        if rest is None or life is None or life.state not in ("pending", "running"):
            return Outlook(phases=phases, overall=None)
        total = total + rest
    return Outlook(phases=phases, overall=_expectation(total, worked) if ahead else None)


def _rest(phase: Phase, run: RunState, counts: Counts, clock: WorkClock | None) -> Samples | None:
    """Equally likely seconds that a phase still takes; None where it is over or nothing is known of its pace."""
    life = run.life
    if life is None or life.state in ("completed", "failed", "cancelled"):
        return None
    stream = PHASES.index(phase)
    left = counts.total - counts.current
    if life.state == "pending":
        items = life.evidence.expected_items if life.evidence.expects_items else left
        return likely_seconds(phase, items=items, evidence=life.evidence, stream=stream)
    if left == 0:
        return np.zeros(SAMPLES) if counts.total > 0 else None
    if clock is None or clock.run != run.run or not clock.knows_pace:
        prior = prior_of(phase, life)
        return None if prior is None else prior.samples(stream) * left
    return clock.pace.expected(left).samples(stream)


def _guess_by_weight(
    state: SessionState,
    counts: Mapping[Phase, Counts],
    clocks: Mapping[Phase, WorkClock],
    rests: dict[Phase, Samples | None],
) -> None:
    """Give phases ahead that nothing is known of the time that their weight asks for beside the known ones."""
    seconds = weight = 0.0
    unknown: list[tuple[Phase, Life]] = []
    for phase in PHASES:
        run, rest = state.phases[phase], rests[phase]
        if run.life is None:
            continue
        clock = clocks.get(phase)
        worked = clock.worked_seconds if clock is not None else 0.0
        if rest is not None or (run.life.state == "completed" and worked > 0):
            seconds += worked + (_median(np.sort(rest)) if rest is not None else 0.0)
            weight += run.life.weight
        elif run.life.state in ("pending", "running"):
            unknown.append((phase, run.life))
    if seconds <= 0 or weight <= 0:
        return
    for phase, life in unknown:
        share = 1 - counts[phase].current / counts[phase].total if counts[phase].total > 0 else 1.0
        guess = seconds / weight * life.weight * share
        rests[phase] = guess * np.exp(GUESS_SPREAD * standard_normal(PHASES.index(phase)))


def _expectation(rest: Samples, worked_seconds: float) -> Expectation:
    ordered = np.sort(rest)
    seconds = _median(ordered)
    low, high = (float(ordered[int(quantile * SAMPLES)]) for quantile in RANGE)
    if high - low > WIDEST * (worked_seconds + ordered[int(_SHORTEST * SAMPLES)]):
        return Expectation(seconds=seconds, low_seconds=None, high_seconds=None)
    return Expectation(seconds=seconds, low_seconds=min(low, seconds), high_seconds=max(high, seconds))


def _median(ordered: Samples) -> float:
    """The middle of ascending durations; np.median takes four times as long."""
    return float(ordered[SAMPLES // 2 - 1] + ordered[SAMPLES // 2]) / 2
