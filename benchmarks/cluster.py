"""Grouping faces into people beside HDBSCAN's implementations: time, memory and quality, one JSON object last.

python benchmarks/cluster.py                                        # everything: about a quarter of an hour
python benchmarks/cluster.py --sizes 5000,20000 --methods triptych,fast_hdbscan --seeds 7001
python benchmarks/cluster.py --check settings --sizes 5000          # other settings of the generator
python benchmarks/cluster.py --check grpc                           # the same through the service

Each method runs in a process of its own, on the same faces, and what compiles at its first call is told apart. The
peers come with `pip install --group cluster-bench`. Seeds from 7000 on are kept for this; nothing was tuned on them.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

SIZES = (5000, 10_000, 20_000, 50_000, 100_000)
SEEDS = (7001, 7002, 7003)
METHODS = {"triptych": 10**9, "fast_hdbscan": 10**9, "sklearn": 20_000, "hdbscan": 10_000}
"""Methods, and the most faces that each is given."""
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "no siblings": {"siblings": 0.0},
    "more siblings": {"siblings": 0.5},
    "closer siblings": {"sibling_cos": [0.5, 0.8]},
    "more ageing": {"ageing": 0.8},
    "lower quality": {"quality": 0.72},
    "more bridges": {"bridges": 0.02},
    "more junk": {"junk_cos": [0.5, 0.85]},
}


def run(task: dict[str, Any], *, timeout_seconds: float = 900) -> dict[str, Any]:
    """One task in a process of its own."""
    script = Path(__file__).with_name("cluster_methods.py")
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    finished = subprocess.run(
        [sys.executable, str(script), json.dumps(task)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=timeout_seconds,
        env=environment,
    )
    answer: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return answer


def measure(methods: Sequence[str], sizes: Sequence[int], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Every method on every size and seed. The slow ones see one seed only: their time is not in question."""
    rows = []
    for method in methods:
        wanted = [size for size in sizes if size <= METHODS[method]]
        for seed in seeds[: 1 if method in ("hdbscan", "sklearn") else None]:
            if wanted:
                try:
                    answer = run({"method": method, "sizes": wanted, "seed": seed, "settings": {"default": {}}})
                except subprocess.CalledProcessError as error:
                    if method == "triptych":
                        raise
                    print(f"{method} ended with {error.returncode}: it is left out", file=sys.stderr, flush=True)
                    continue
                rows += answer["runs"]
                for row in answer["runs"]:
                    print(json.dumps(row), file=sys.stderr, flush=True)
    return rows


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians of time and means of quality, by size and method, with the worst F1."""
    found: dict[str, Any] = {}
    for size in sorted({row["n"] for row in rows}):
        found[str(size)] = {}
        for method in METHODS:
            of_method = [row for row in rows if row["n"] == size and row["method"] == method]
            if of_method:
                found[str(size)][method] = {
                    "seconds": round(median(row["seconds"] for row in of_method), 2),
                    "cpu_seconds": round(median(row["cpu_seconds"] for row in of_method), 2),
                    "first_call_seconds": round(max(row["first_call_seconds"] for row in of_method), 1),
                    "peak_memory_bytes": max(row["peak_memory_bytes"] for row in of_method),
                    "bcubed_f1": round(mean(row["bcubed_f1"] for row in of_method), 4),
                    "bcubed_f1_worst": round(min(row["bcubed_f1"] for row in of_method), 4),
                    "pairwise_f1": round(mean(row["pairwise_f1"] for row in of_method), 4),
                    "seeds": len(of_method),
                    **{
                        name: max(row[name] for row in of_method)
                        for name in ("longest_silence_seconds",)
                        if name in of_method[0]
                    },
                    **{
                        name: min(row[name] for row in of_method)
                        for name in ("progress_events",)
                        if name in of_method[0]
                    },
                }
    return found


def verdicts(found: dict[str, Any]) -> dict[str, bool]:
    """What must be true, of what was measured."""
    told: dict[str, bool] = {}
    for size, methods in found.items():
        ours = methods.get("triptych")
        if ours is None:
            continue
        told[f"F1 at {size}"] = ours["bcubed_f1_worst"] >= 0.975
        told[f"twenty reports at {size}"] = ours["progress_events"] >= 20
        told[f"a report each 2 s at {size}"] = ours["longest_silence_seconds"] <= 2
        for name, peer in methods.items():
            if name != "triptych":
                told[f"F1 at {size} above {name}"] = ours["bcubed_f1"] >= peer["bcubed_f1"] + 0.01
        if "hdbscan" in methods and size == "10000":
            told["1/25 of hdbscan at 10000"] = ours["seconds"] <= methods["hdbscan"]["seconds"] / 25
        factor = {"20000": 1.5, "50000": 1.0, "100000": 1.0}.get(size)
        if factor is not None and "fast_hdbscan" in methods:
            told[f"time at {size}"] = ours["seconds"] <= factor * methods["fast_hdbscan"]["seconds"]
        told[f"no long first call at {size}"] = ours["first_call_seconds"] <= 5
        if size == "100000":
            told["memory at 100000"] = ours["peak_memory_bytes"] <= 1.2e9
    return told


def check_settings(sizes: Sequence[int], seeds: Sequence[int], methods: Sequence[str]) -> dict[str, Any]:
    """F1 of each method on other settings of the generator, the mean of the seeds, and whether ours is above all."""
    rows = []
    for method in methods:
        wanted = [size for size in sizes if size <= METHODS[method]]
        for seed in seeds:
            answer = run({"method": method, "sizes": wanted, "seed": seed, "settings": SETTINGS})
            rows += answer["runs"]
            for row in answer["runs"]:
                print(json.dumps(row), file=sys.stderr, flush=True)
    found: dict[str, Any] = {}
    for setting, size in itertools.product(SETTINGS, sizes):
        of_setting = [row for row in rows if row["setting"] == setting and row["n"] == size]
        found[f"{setting}, {size}"] = {
            method: round(mean(row["bcubed_f1"] for row in of_setting if row["method"] == method), 4)
            for method in methods
            if any(row["method"] == method for row in of_setting)
        }
    return {
        "settings": found,
        "holds": {
            f"F1 above all, {name}": all(methods["triptych"] > f1 for peer, f1 in methods.items() if peer != "triptych")
            for name, methods in found.items()
            if "triptych" in methods
        },
    }


def numbers(text: str) -> list[int]:
    """Numbers with commas between them."""
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=numbers, default=list(SIZES), help="numbers of faces")
    parser.add_argument("--seeds", type=numbers, default=list(SEEDS))
    parser.add_argument("--methods", type=lambda text: text.split(","), default=list(METHODS))
    parser.add_argument("--check", choices=["settings", "grpc"], help="instead of the comparison")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"bench": "cluster"}
    if arguments.check == "settings":
        result |= check_settings(arguments.sizes, arguments.seeds, arguments.methods)
    elif arguments.check == "grpc":
        result["grpc"] = run({"method": "grpc", "sizes": arguments.sizes, "seed": arguments.seeds[0]})
    else:
        result["results"] = summarize(measure(arguments.methods, arguments.sizes, arguments.seeds))
        result["holds"] = verdicts(result["results"])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
