"""Measures face clustering on synthetic faces: time, memory and quality, one JSON object on the last line.

python benchmarks/clustering.py 10000 --seed 0
python benchmarks/clustering.py 10000 --peer      # beside scikit-learn's HDBSCAN, which must be installed
"""

import argparse
import json
import resource
import time
from typing import Any

import faces as synthetic
import numpy as np

from triptych_cluster.clustering import Faces, Progress, cluster_faces
from triptych_cluster.parameters import parameters_for


def peak_memory_bytes() -> int:
    """The most memory that this process has held; Linux counts it in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(embeddings: np.ndarray, identity: np.ndarray) -> dict[str, Any]:
    """One clustering: wall and CPU seconds, memory above the input, progress events and the scores."""
    photo_ids = np.arange(len(embeddings))
    library = Faces(embeddings=embeddings, photo_ids=photo_ids, scores=np.ones(len(embeddings), np.float32))
    events: list[tuple[float, Progress]] = []
    memory_before = peak_memory_bytes()
    wall, processor = time.perf_counter(), time.process_time()

    def record(progress: Progress) -> None:
        events.append((time.perf_counter() - wall, progress))

    grouping = cluster_faces(library, parameters_for("arcface-r50"), on_progress=record)
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - processor
    times = [at for at, _ in events]
    neighbours_seconds = max(at for at, progress in events if progress.stage == "neighbours")
    return {
        "n": len(embeddings),
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu_seconds, 3),
        "neighbours_share": round(neighbours_seconds / seconds, 3),
        "peak_memory_bytes": peak_memory_bytes(),
        "peak_memory_above_input_bytes": peak_memory_bytes() - memory_before,
        "progress_events": len(events),
        "longest_silence_seconds": round(float(np.max(np.diff(times, append=seconds))), 3),
        **synthetic.score(identity, grouping.labels),
    }


def measure_peer(embeddings: np.ndarray, identity: np.ndarray) -> dict[str, Any]:
    """The same faces in scikit-learn's HDBSCAN, by brute force on cosine distances."""
    from sklearn.cluster import HDBSCAN  # noqa: PLC0415 - needed only here, and slow to import

    wall, processor = time.perf_counter(), time.process_time()
    peer = HDBSCAN(min_cluster_size=2, metric="cosine", algorithm="brute", copy=True)
    labels = peer.fit_predict(embeddings)
    return {
        "peer_seconds": round(time.perf_counter() - wall, 3),
        "peer_cpu_seconds": round(time.process_time() - processor, 3),
        "peer_bcubed_f1": synthetic.score(identity, labels)["bcubed_f1"],
        "peer_peak_memory_bytes": peak_memory_bytes(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("n", nargs="?", type=int, default=10_000, help="faces")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer", action="store_true", help="measure scikit-learn's HDBSCAN as well")
    arguments = parser.parse_args()
    embeddings, identity = synthetic.generate(arguments.n, arguments.seed)
    result = {"bench": "clustering", "seed": arguments.seed, **measure(embeddings, identity)}
    if arguments.peer:
        result |= measure_peer(embeddings, identity)
        result["peer_seconds_ratio"] = round(result["peer_seconds"] / result["seconds"], 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
