"""Estimators of the time that is left, each fed the same updates of a run: the production one, and two naive peers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from tqdm.std import EMA

from triptych_common.progress.durations import expected_seconds
from triptych_common.progress.evidence import Evidence, Timing
from triptych_progress.reducer import PHASES, CountsReport, Life, LifeReport, Phase, State
from triptych_progress.session import Session

FIXED_WEIGHTS: Final[dict[Phase, float]] = {"training": 0.30, "face_detection": 0.65, "clustering": 0.05}
FACES_PER_PHOTO: Final = 1.0
FACES_SPREAD: Final = 0.8
"""What the gateway expects of faces where there is no history: see `triptych_gateway.catalog`."""
TQDM_SMOOTHING: Final = 0.3
"""tqdm's own default."""
_LONG_GAP_SECONDS: Final = 2.0
_EPOCH_SECONDS: Final = 1_700_000_000

Estimate = dict[str, float | None]
"""What a reader is told at ``t``: ``eta``, ``low`` and ``high`` in seconds or None, and ``percent``."""


def evidence_of(run: Mapping[str, Any]) -> dict[Phase, Evidence]:
    """What the gateway would announce of a simulated run: its history, or else its probe."""
    evidence: dict[Phase, Evidence] = {}
    for phase in PHASES:
        items = "faces" if phase == "clustering" else "photos"
        history = tuple(Timing(float(past[items]), float(past[phase])) for past in run["history"] if past[items] > 0)
        probe = Timing(2000.0 if phase == "clustering" else 1.0, float(run["probe"][phase]))
        evidence[phase] = Evidence(history=history) if history else Evidence(probe=(probe,))
    expected, spread = _expected_faces(run)
    clustering = evidence["clustering"]
    evidence["clustering"] = Evidence(
        history=clustering.history,
        probe=clustering.probe,
        expected_items=expected,
        expected_items_spread=spread,
    )
    return evidence


def calibrated_weights(run: Mapping[str, Any]) -> dict[Phase, float]:
    """The share of each phase in the expected time, as the gateway fixes it at the session's start."""
    seconds = {
        phase: expected_seconds(phase, items=evidence.expected_items or run["photos"], evidence=evidence) or 0.0
        for phase, evidence in evidence_of(run).items()
    }
    raised = {phase: max(one / sum(seconds.values()), 0.001) for phase, one in seconds.items()}
    return {phase: one / sum(raised.values()) for phase, one in raised.items()}


def _expected_faces(run: Mapping[str, Any]) -> tuple[float, float]:
    """Faces expected in all photos, and the doubt: as the gateway expects them before any photo was looked at."""
    ratios = [past["faces"] / past["photos"] for past in run["history"] if past["faces"] > 0]
    if not ratios:
        return run["photos"] * FACES_PER_PHOTO, FACES_SPREAD
    return run["photos"] * float(np.exp(np.mean(np.log(ratios)))), 0.1 * (1 + 1 / len(ratios)) ** 0.5


class Production:
    """The aggregator's session, fed a simulated run's updates as the services and the pipeline would report them."""

    def __init__(self, run: Mapping[str, Any], weights: Mapping[Phase, float]) -> None:
        self._session = Session()
        self._weights = weights
        self._evidence = evidence_of(run)
        self._states: dict[Phase, State] = {}
        self._step = 0
        for phase in PHASES:
            self._live(phase, "pending", 0 if phase == "clustering" else run["photos"], at_seconds=0.0)

    def estimates(self, updates: list[dict[str, Any]]) -> list[Estimate]:
        """What a reader who looks at each update, and once a second in long gaps, is told."""
        told: list[Estimate] = []
        for update in updates:
            if told:
                told += self._looks_between(told[-1], float(update["t"]))
            self._take(update)
            told.append(self._estimate(float(update["t"])))
        return [one for one in told if one["eta"] is not None or one["percent"] != 0]

    def _take(self, update: Mapping[str, Any]) -> None:
        phase, at_seconds = update["phase"], float(update["t"])
        if update["state"] == "running" and self._states[phase] != "running":
            self._live(phase, "running", update["total"], at_seconds=at_seconds)
        if update["done"] > 0:
            counts = CountsReport(
                session_id=1,
                phase=phase,
                run=1,
                unit="all",
                done=update["done"],
                failed=0,
                total=update["total"],
            )
            self._session.apply(counts, time_microseconds=_microseconds(at_seconds))
        if update["state"] != "running":
            self._live(phase, update["state"], update["total"], at_seconds=at_seconds)

    def _live(self, phase: Phase, state: State, total: int, *, at_seconds: float) -> None:
        self._step += 1
        self._states[phase] = state
        life = Life(
            epoch=1,
            step=self._step,
            state=state,
            total=total,
            skipped=0,
            weight=self._weights[phase],
            evidence=self._evidence[phase],
        )
        report = LifeReport(session_id=1, phase=phase, run=1, life=life)
        self._session.apply(report, time_microseconds=_microseconds(at_seconds))

    def _estimate(self, at_seconds: float) -> Estimate:
        overall = self._session.outlook().overall
        percent = self._session.percentage()
        if overall is None:
            return {"t": at_seconds, "eta": 0.0 if percent == 100 else None, "percent": percent}
        return {
            "t": at_seconds,
            "eta": overall.seconds,
            "low": overall.low_seconds,
            "high": overall.high_seconds,
            "percent": percent,
        }

    def _looks_between(self, last: Estimate, until: float) -> list[Estimate]:
        """The clock runs on between updates, and stands still once the silence is a stall, as in the gateway."""
        began, eta = last["t"] or 0.0, last["eta"]
        if until - began <= _LONG_GAP_SECONDS or eta is None or "paused" in self._states.values():
            return []
        looks: list[Estimate] = []
        for at_seconds in np.arange(began + 1, until, max(1.0, (until - began) / 100)).tolist():
            if self._session.tick(_microseconds(at_seconds)) and looks:
                eta = looks[-1]["eta"] or 0.0
                began = at_seconds
            stalled = any(self._session.stalled_since(phase) is not None for phase in PHASES)
            passed = 0.0 if stalled else at_seconds - began
            looks.append({**last, "t": at_seconds, "eta": max(eta - passed, 0.0)} | _later(last, passed))
        return looks


def _later(last: Estimate, passed: float) -> Estimate:
    low, high = last.get("low"), last.get("high")
    if low is None or high is None:
        return {"low": None, "high": None}
    return {"low": max(low - passed, 0.0), "high": max(high - passed, 0.0)}


def _microseconds(seconds: float) -> int:
    return int((_EPOCH_SECONDS + seconds) * 1e6)


@dataclass
class Peers:
    """Two naive estimators on the same percentage, as progress bars have them."""

    elapsed_rule: list[Estimate]
    """elapsed · (1 − p) / p"""
    tqdm: list[Estimate]
    """What is left ÷ tqdm's exponential average of the rate."""


def naive(told: list[Estimate]) -> Peers:
    """What the naive estimators would have said at the same moments, on the percentage that readers saw."""
    peers = Peers([], [])
    average_done, average_seconds = EMA(TQDM_SMOOTHING), EMA(TQDM_SMOOTHING)
    last_seconds = last_percent = 0.0
    rate = 0.0
    for one in told:
        at_seconds, percent = one["t"] or 0.0, one["percent"] or 0.0
        share = percent / 100
        rule = at_seconds * (1 - share) / share if share > 0 else None
        peers.elapsed_rule.append({"t": at_seconds, "eta": rule, "percent": percent})
        if at_seconds > last_seconds and percent > last_percent:
            rate = average_done(percent - last_percent) / average_seconds(at_seconds - last_seconds)
            last_seconds, last_percent = at_seconds, percent
        peers.tqdm.append({"t": at_seconds, "eta": (100 - percent) / rate if rate > 0 else None, "percent": percent})
    return peers
