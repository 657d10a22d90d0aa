"""Draws one real run: the percentage and the ETA against the truth that only the end reveals."""

from pathlib import Path

import matplotlib as mpl
from eta_estimators import FIXED_WEIGHTS, naive
from eta_real_run import RealRun

mpl.use("Agg")
from matplotlib import pyplot

_TRUTH, _OURS, _PEER = "#8a8f98", "#2f6fde", "#d9822b"


def draw(run: RealRun, path: Path, *, title: str) -> None:
    """Write the chart of a run as a picture."""
    told = run.estimates()
    times = [one["t"] for one in told]
    fixed = run.percent_by(dict(FIXED_WEIGHTS))
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    left.plot([0, run.end_seconds], [0, 100], color=_TRUTH, linestyle="--", label="time passed")
    left.plot(times, [one["percent"] for one in told], color=_OURS, label="progress shown, calibrated weights")
    left.plot(times, [one["percent"] for one in fixed], color=_PEER, linewidth=1, label="the same run at 30/65/5")
    left.set(xlabel="seconds since start", ylabel="%", title="Progress", ylim=(0, 100))
    right.plot([0, run.end_seconds], [run.end_seconds, 0], color=_TRUTH, linestyle="--", label="time that was left")
    ranged = [one for one in told if one["low"] is not None]
    right.fill_between(
        [one["t"] for one in ranged],
        [one["low"] for one in ranged],
        [one["high"] for one in ranged],
        color=_OURS,
        alpha=0.18,
        linewidth=0,
        label="range shown",
    )
    known = [one for one in told if one["eta"] is not None]
    right.plot([one["t"] for one in known], [one["eta"] for one in known], color=_OURS, label="ETA shown")
    rule = [one for one in naive(fixed).elapsed_rule if one["eta"] is not None]
    right.plot(
        [one["t"] for one in rule],
        [one["eta"] for one in rule],
        color=_PEER,
        linewidth=1,
        label="elapsed·(1−p)/p at 30/65/5",
    )
    right.set(xlabel="seconds since start", ylabel="seconds", title="ETA", ylim=(0, 2 * run.end_seconds))
    for axes in (left, right):
        axes.set_xlim(0, run.end_seconds)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
