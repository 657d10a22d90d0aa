"""Measures grouping a few new faces into a library that was grouped before, against grouping all of them anew.

PYTHONPATH=. python benchmarks/cluster_incremental.py --faces 20000 --added 400 --seed 3

One JSON object on the last line: wall and CPU seconds of both (the median of the repeats), their ratio, and how alike
the two groupings are (adjusted Rand index). `grpc`: the same through the service, with what is kept of the library sent
along and what changed of it sent back; and the service's own run of all faces beside it, which is approximate. `store`:
what the gateway writes and reads of it in PostgreSQL. `approximate`: of each of some seeds, how alike the groups are
where the library's graph is approximate, as the service has it above 10,000 faces: to an approximate run of all faces,
and to an exact one.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks import faces as synthetic
from benchmarks.cluster_incremental_service import Response, ask, clusterer
from benchmarks.cluster_incremental_store import measure_store
from tests.support.real_servers import postgres_server
from triptych.v1 import clusterer_pb2
from triptych_cluster.clustering import Faces, Grouping, cluster_faces
from triptych_cluster.kept.changes import all_of
from triptych_cluster.kept.incremental import cluster_increment, cluster_to_keep
from triptych_cluster.kept.state import KeptFaces
from triptych_cluster.kept.version import kept_version
from triptych_cluster.kept.wire import kept_messages
from triptych_cluster.parameters import parameters_for

MODEL = "arcface-r50"

AnswerT = TypeVar("AnswerT")


def measure(
    *, faces: int = 20_000, added: int = 400, seed: int = 3, repeats: int = 3, like_seeds: Sequence[int] = ()
) -> dict[str, Any]:
    """Figures of adding so many faces so that there are ``faces`` and those more."""
    parameters = parameters_for(MODEL)
    embeddings, identity = synthetic.generate(faces + added, seed)
    ids = np.arange(faces + added)
    library = Faces(embeddings=embeddings, photo_ids=ids, scores=np.ones(len(ids), np.float32))
    former = Faces(embeddings=embeddings[:faces], photo_ids=ids[:faces], scores=np.ones(faces, np.float32))
    kept = cluster_to_keep(former, ids[:faces], parameters, search="exact").kept
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
        **through_grpc(embeddings, kept, scratch, from_scratch_seconds=whole_seconds, repeats=repeats),
        "approximate": {str(one): how_like(faces, added, seed=one) for one in like_seeds},
    }


def how_like(faces: int, added: int, *, seed: int) -> dict[str, float]:
    """Adjusted Rand indices where the graph of the library is approximate."""
    parameters = parameters_for(MODEL)
    embeddings, _ = synthetic.generate(faces + added, seed)
    ids = np.arange(faces + added)
    library = Faces(embeddings=embeddings, photo_ids=ids, scores=np.ones(len(ids), np.float32))
    former = Faces(embeddings=embeddings[:faces], photo_ids=ids[:faces], scores=np.ones(faces, np.float32))
    kept = cluster_to_keep(former, ids[:faces], parameters, search="approximate").kept
    found = cluster_increment(library, kept.of(ids), parameters).grouping.labels
    anew, exact = (cluster_faces(library, parameters, search=search).labels for search in ("approximate", "exact"))
    pairs = {"to_from_scratch": (found, anew), "to_exact": (found, exact), "from_scratch_to_exact": (anew, exact)}
    return {name: round(adjusted_rand_index(*pair), 5) for name, pair in pairs.items()}


def through_grpc(
    embeddings: NDArray[np.float32],
    kept: KeptFaces,
    scratch: Grouping,
    *,
    from_scratch_seconds: float,
    repeats: int,
) -> dict[str, Any]:
    """The same through the service, and what is stored of its answers."""
    messages = list(kept_messages(all_of(kept)))
    version = kept_version(parameters_for(MODEL), model_id=MODEL, dimension=embeddings.shape[1])
    with clusterer() as address:
        ask(address, embeddings, model_id=MODEL)
        # What is loaded at the first call, and memory that is had for the first time, is not part of the next.
        whole = ask(address, embeddings, model_id=MODEL)
        ask(address, embeddings, model_id=MODEL, kept=messages, version=version)
        answers = [ask(address, embeddings, model_id=MODEL, kept=messages, version=version) for _ in range(repeats)]
    last = answers[-1]
    if last.summary.method != clusterer_pb2.CLUSTER_METHOD_INCREMENTAL:
        raise SystemExit(f"The service grouped all faces: {last.summary.reason}.")
    seconds = statistics.median(answer.seconds for answer in answers)
    figures = {
        "seconds": round(seconds, 3),
        "share_of_from_scratch": round(seconds / from_scratch_seconds, 4),
        "adjusted_rand_index": round(adjusted_rand_index(last.labels, scratch.labels), 6),
        "progress_messages": last.progress,
        "kept_bytes_per_face": round(sum(one.ByteSize() for one in messages) / len(kept.faces.ids), 1),
        "kept_rows_changed": sum(
            len(one.kept_faces.neighbours.ids) + len(one.kept_groups.neighbours.ids) for one in last.kept
        ),
        "service_from_scratch_seconds": round(whole.seconds, 3),
        "service_from_scratch_adjusted_rand_index": round(adjusted_rand_index(whole.labels, scratch.labels), 4),
    }
    with postgres_server() as postgres:
        store = asyncio.run(
            measure_store(
                postgres,
                [*whole.kept, Response(summary=whole.summary)],
                [*last.kept, Response(summary=last.summary)],
                model_id=MODEL,
            )
        )
    return {"grpc": figures, "store": store}


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
    parser.add_argument(
        "--like-seeds",
        type=lambda text: [int(part) for part in text.split(",") if part],
        default=list(range(11, 21)),
        help="seeds of which the approximate graph's groups are compared; none to leave that out",
    )
    arguments = parser.parse_args()
    print(json.dumps(measure(**vars(arguments))))


if __name__ == "__main__":
    main()
