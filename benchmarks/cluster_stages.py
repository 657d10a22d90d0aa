"""Measures what share of a grouping each stage takes, and up to how many new faces are quicker added than all grouped.

PYTHONPATH=. python benchmarks/cluster_stages.py

One JSON object on the last line. `shares`: of the time from the first report to the end, by kind of run, the medians of
the repeats; `STAGE_SHARES` in triptych_cluster/running.py comes from it. `worthwhile`: seconds of grouping so many
faces anew, approximately, and of putting some of them into the kept graph of the others, and at how many both are
equal; `WORTHWHILE_FACES` in triptych_cluster/kept/incremental.py comes from it.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import faces as synthetic
from triptych_cluster.clustering import Faces, Progress
from triptych_cluster.kept.incremental import KeptGrouping, cluster_increment, cluster_to_keep
from triptych_cluster.neighbours.graph import Search
from triptych_cluster.parameters import parameters_for

PARAMETERS = parameters_for("arcface-r50")
STAGES = ("neighbours", "tree", "merge")
ADDED = (2500, 5000, 10_000, 15_000)

Run = Callable[[Callable[[Progress], None]], KeptGrouping]


class Library:
    """Made-up faces, numbered by their places."""

    def __init__(self, count: int, seed: int) -> None:
        self.embeddings, _ = synthetic.generate(count, seed)
        self.ids = np.arange(count)

    def faces(self, count: int) -> Faces:
        """The first of them."""
        return Faces(embeddings=self.embeddings[:count], photo_ids=self.ids[:count], scores=np.ones(count, np.float32))

    def anew(self, count: int, search: Search) -> Run:
        """Grouping the first of them anew."""
        return lambda on_progress: cluster_to_keep(
            self.faces(count), self.ids[:count], PARAMETERS, search=search, on_progress=on_progress
        )

    def adding(self, added: int, *, search: Search) -> Run:
        """Putting the last of them into the kept graph of the others."""
        count = len(self.ids)
        kept = self.anew(count - added, search)(lambda progress: None).kept.of(self.ids)
        return lambda on_progress: cluster_increment(self.faces(count), kept, PARAMETERS, on_progress=on_progress)


def stage_seconds(run: Run) -> dict[str, float]:
    """How long each stage takes, from its first report on."""
    begins: dict[str, float] = {}

    def note(progress: Progress) -> None:
        begins.setdefault(progress.stage, time.perf_counter())

    run(note)
    times = [begins[stage] for stage in STAGES] + [time.perf_counter()]
    return dict(zip(STAGES, np.diff(times).tolist(), strict=True))


def shares(run: Run, *, repeats: int) -> dict[str, float]:
    """The share of each stage, the median of the repeats."""
    runs = [stage_seconds(run) for _ in range(repeats)]
    return {stage: round(statistics.median(one[stage] / sum(one.values()) for one in runs), 3) for stage in STAGES}


def seconds(run: Run, *, repeats: int) -> float:
    """Wall seconds of all stages, the median of the repeats."""
    return round(statistics.median(sum(stage_seconds(run).values()) for _ in range(repeats)), 3)


def worthwhile(count: int, seed: int, *, repeats: int) -> dict[str, Any]:
    """Seconds of grouping so many faces anew and of adding some to the rest, and where the two meet."""
    library = Library(count, seed)
    anew = seconds(library.anew(count, "approximate"), repeats=repeats)
    added = [one for one in ADDED if one <= count // 4]
    adding = [seconds(library.adding(one, search="approximate"), repeats=repeats) for one in added]
    slope, base = np.polyfit(added, adding, 1)
    return {
        "anew_seconds": anew,
        "adding_seconds": dict(zip(added, adding, strict=True)),
        "equal_at": int((anew - base) / slope),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="20000,50000,100000", help="of libraries that faces are added to")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    seed, repeats = arguments.seed, arguments.repeats
    found = {
        "exact, 10000": shares(Library(10_000, seed).anew(10_000, "exact"), repeats=repeats),
        "approximate, 50000": shares(Library(50_000, seed).anew(50_000, "approximate"), repeats=repeats),
        "incremental, 400 into 20000": shares(Library(20_400, seed).adding(400, search="exact"), repeats=repeats),
    }
    print(json.dumps(found), file=sys.stderr, flush=True)
    meeting = {}
    for size in (int(part) for part in arguments.sizes.split(",")):
        meeting[str(size)] = worthwhile(size, seed, repeats=max(1, repeats - 1))
        print(size, json.dumps(meeting[str(size)]), file=sys.stderr, flush=True)
    print(json.dumps({"bench": "cluster_stages", "seed": seed, "shares": found, "worthwhile": meeting}))


if __name__ == "__main__":
    main()
