"""Measures grouping a few new faces into a library that was grouped before, against grouping all of them anew.

PYTHONPATH=. python benchmarks/cluster_incremental.py --faces 20000 --added 400 --seed 3

One JSON object on the last line: wall and CPU seconds of both (the median of the repeats), their ratio, and how alike
the two groupings are (adjusted Rand index).
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks import faces as synthetic
from triptych_cluster.clustering import Faces, cluster_faces
from triptych_cluster.incremental import cluster_increment
from triptych_cluster.kept_state import KeptFaces
from triptych_cluster.parameters import parameters_for

MODEL = "arcface-r50"

AnswerT = TypeVar("AnswerT")


def measure(*, faces: int = 20_000, added: int = 400, seed: int = 3, repeats: int = 3) -> dict[str, Any]:
    """Figures of adding so many faces so that there are ``faces`` and those more."""
    parameters = parameters_for(MODEL)
    embeddings, identity = synthetic.generate(faces + added, seed)
    ids = np.arange(faces + added)
    library = Faces(embeddings=embeddings, photo_ids=ids, scores=np.ones(len(ids), np.float32))
    former = Faces(embeddings=embeddings[:faces], photo_ids=ids[:faces], scores=np.ones(faces, np.float32))
    kept = cluster_increment(
        former, KeptFaces.nothing(ids[:faces], neighbour_count=parameters.neighbour_count), parameters
    ).kept
    increment, seconds, cpu_seconds = _timed(lambda: cluster_increment(library, kept.of(ids), parameters), repeats)
    scratch, whole_seconds, whole_cpu_seconds = _timed(
        lambda: cluster_faces(library, parameters, search="exact"), max(1, repeats // 2)
    )
    return {
        "bench": "cluster_incremental",
        "faces": faces,
        "added": added,
        "seed": seed,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu_seconds, 3),
        "from_scratch_seconds": round(whole_seconds, 3),
        "from_scratch_cpu_seconds": round(whole_cpu_seconds, 3),
        "share_of_from_scratch": round(seconds / whole_seconds, 4),
        "cpu_share_of_from_scratch": round(cpu_seconds / whole_cpu_seconds, 4),
        "faces_regrouped": increment.regrouped,
        "adjusted_rand_index": round(adjusted_rand_index(increment.grouping.labels, scratch.labels), 6),
        "bcubed_f1": round(float(synthetic.score(identity, increment.grouping.labels)["bcubed_f1"]), 4),
    }


def adjusted_rand_index(first: NDArray[np.int32], second: NDArray[np.int32]) -> float:
    """How alike two groupings are, 1 for the same; faces in no group each stand alone.

    L. Hubert, P. Arabie: Comparing Partitions (1985).
    """
    labels = np.column_stack(
        [np.where(one >= 0, one, one.max(initial=-1) + 1 + np.arange(len(one))) for one in (first, second)]
    )

    def pairs(columns: NDArray[np.int64]) -> float:
        counts = np.unique(columns, axis=0, return_counts=True)[1]
        return float((counts * (counts - 1.0) / 2).sum())

    together, rows, columns = pairs(labels), pairs(labels[:, 0]), pairs(labels[:, 1])
    expected = rows * columns / (len(labels) * (len(labels) - 1) / 2)
    return (together - expected) / ((rows + columns) / 2 - expected)


def _timed(work: Callable[[], AnswerT], repeats: int) -> tuple[AnswerT, float, float]:
    """The last answer, and the median of wall and of CPU seconds."""
    wall, cpu = [], []
    for _ in range(repeats):
        began, cpu_began = time.perf_counter(), time.process_time()
        answer = work()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - cpu_began)
    return answer, statistics.median(wall), statistics.median(cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=20_000)
    parser.add_argument("--added", type=int, default=400)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(json.dumps(measure(**vars(arguments))))


if __name__ == "__main__":
    main()
