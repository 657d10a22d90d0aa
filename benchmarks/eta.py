"""Measures how far ETAs are from the truth, and how evenly the percentage moves; one JSON object on the last line.

300 simulated runs (`runs.py`) each without and with history, and two real runs on a sample library of 320 photos: a
first run on a fresh installation, then one with history on other photos. Beside the production estimator stand
elapsed·(1−p)/p and tqdm's exponential average, on the percentage with the weights 30/65/5.

python benchmarks/eta.py --seed 0 --chart docs/eta.png
python benchmarks/eta.py --simulated-only
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from eta_estimators import FIXED_WEIGHTS, Estimate, Production, calibrated_weights, naive
from runs import generate, score, working

RUNS: Final = 300
Scores = dict[str, dict[str, Any]]


def score_simulated(seed: int, *, with_history: bool) -> Scores:
    """Scores of one simulated run: of production with both kinds of weights, and of the naive peers."""
    run = generate(seed, with_history=with_history)
    fixed = Production(run, FIXED_WEIGHTS).estimates(run["updates"])
    calibrated = Production(run, calibrated_weights(run)).estimates(run["updates"])
    peers = naive(fixed)
    return {
        "fixed": _scored(run, fixed),
        "calibrated": _scored(run, calibrated),
        "elapsed_rule": score(run, peers.elapsed_rule),
        "tqdm": score(run, peers.tqdm),
    }


def _scored(run: Mapping[str, Any], told: Sequence[Estimate]) -> dict[str, Any]:
    whole = working(run, 0.0)
    widths = [one["high"] - one["low"] for one in told if one.get("low") is not None]
    return score(run, told) | {"widest_range": max(widths, default=0.0) / whole}


def summarise(scores: Sequence[Scores]) -> dict[str, float]:
    """What many runs come to."""
    fixed, calibrated = ([one[kind] for one in scores] for kind in ("fixed", "calibrated"))
    return {
        "mean_error": _mean(fixed, "mean_error"),
        "elapsed_rule_mean_error": _mean([one["elapsed_rule"] for one in scores], "mean_error"),
        "tqdm_mean_error": _mean([one["tqdm"] for one in scores], "mean_error"),
        "range_coverage": sum(one["covered"] for one in fixed) / max(1, sum(one["stated"] for one in fixed)),
        "ranges_stated": sum(one["stated"] for one in fixed) / (9 * len(fixed)),
        "widest_range": max(one["widest_range"] for one in fixed),
        "backward_moves": sum(one["backward_moves"] for one in (*fixed, *calibrated)),
        "percent_vs_time_max_gap": float(np.median([one["percent_vs_time_max_gap"] for one in calibrated])),
        "share_of_time_at_99_percent": _mean(calibrated, "share_of_time_at_99_percent"),
        "percent_vs_time_max_gap_30_65_5": float(np.median([one["percent_vs_time_max_gap"] for one in fixed])),
        "share_of_time_at_99_percent_30_65_5": _mean(fixed, "share_of_time_at_99_percent"),
    }


def _mean(scores: Sequence[Mapping[str, Any]], name: str) -> float:
    return float(np.mean([one[name] for one in scores]))


def simulate(first_seed: int, *, with_history: bool) -> dict[str, float]:
    """The summary of the simulated runs."""
    with ProcessPoolExecutor() as processes:
        seeds = range(first_seed, first_seed + RUNS)
        return summarise(list(processes.map(partial(score_simulated, with_history=with_history), seeds, chunksize=10)))


def score_real(run: Any) -> dict[str, float]:
    """The scores of a real run, and of the naive peers on it."""
    timeline, told = run.timeline(), run.estimates()
    fixed = run.percent_by(dict(FIXED_WEIGHTS))
    peers = naive(fixed)
    ours, by_fixed_weights = score(timeline, told), score(timeline, fixed)
    return {
        "seconds": run.end_seconds,
        "mean_error": ours["mean_error"],
        "elapsed_rule_mean_error": score(timeline, peers.elapsed_rule)["mean_error"],
        "tqdm_mean_error": score(timeline, peers.tqdm)["mean_error"],
        "range_coverage": ours["covered"] / max(1, ours["stated"]),
        "backward_moves": ours["backward_moves"],
        "percent_vs_time_max_gap": ours["percent_vs_time_max_gap"],
        "share_of_time_at_99_percent": ours["share_of_time_at_99_percent"],
        "percent_vs_time_max_gap_30_65_5": by_fixed_weights["percent_vs_time_max_gap"],
        "share_of_time_at_99_percent_30_65_5": by_fixed_weights["share_of_time_at_99_percent"],
    }


def figures(parts: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The measures by their names, and everything else below them."""
    first, later = parts["simulated_first_run"], parts["simulated_with_history"]
    result: dict[str, Any] = {
        "first_run_mean_error": first["mean_error"],
        "with_history_mean_error": later["mean_error"],
        "range_coverage": (first["range_coverage"] + later["range_coverage"]) / 2,
        "widest_range_of_whole_run": max(first["widest_range"], later["widest_range"]),
        "backward_moves": sum(part["backward_moves"] for part in parts.values()),
        "percent_vs_time_max_gap": later["percent_vs_time_max_gap"],
        "share_of_time_at_99_percent": max(first["share_of_time_at_99_percent"], later["share_of_time_at_99_percent"]),
        "percent_vs_time_max_gap_30_65_5": later["percent_vs_time_max_gap_30_65_5"],
        "share_of_time_at_99_percent_30_65_5": later["share_of_time_at_99_percent_30_65_5"],
        "naive_elapsed_first_run_mean_error": first["elapsed_rule_mean_error"],
        "naive_elapsed_with_history_mean_error": later["elapsed_rule_mean_error"],
        "tqdm_first_run_mean_error": first["tqdm_mean_error"],
        "tqdm_with_history_mean_error": later["tqdm_mean_error"],
    }
    if "real_first_run" in parts:
        result |= {
            "real_first_run_error": parts["real_first_run"]["mean_error"],
            "real_with_history_error": parts["real_with_history"]["mean_error"],
            "real_percent_vs_time_max_gap": parts["real_with_history"]["percent_vs_time_max_gap"],
        }
    return result | parts


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="first seed of the simulated runs, and of the photos")
    parser.add_argument("--simulated-only", action="store_true")
    parser.add_argument("--chart", type=Path, help="where to draw the real run with history")
    options = parser.parse_args()
    parts: dict[str, dict[str, float]] = {
        "simulated_first_run": simulate(options.seed, with_history=False),
        "simulated_with_history": simulate(options.seed, with_history=True),
    }
    if not options.simulated_only:
        # Only these need the whole stack installed.
        from eta_chart import draw  # noqa: PLC0415
        from eta_real_run import PHOTOS, two_runs  # noqa: PLC0415

        first, later = two_runs(seed=options.seed)
        parts |= {"real_first_run": score_real(first), "real_with_history": score_real(later)}
        if options.chart:
            draw(later, options.chart, title=f"One real run: {PHOTOS} photos, the second of this installation")
    for name, part in parts.items():
        print(name)
        for figure, value in part.items():
            print(f"  {figure:36} {value:10.4f}")
    print(json.dumps(figures(parts)))


if __name__ == "__main__":
    main()
