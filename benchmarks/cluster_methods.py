"""The methods that `cluster.py` compares: runs one of them, in this process, and prints what each run took as JSON."""

import asyncio
import importlib
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faces as synthetic
import numpy as np

MODEL = "arcface-r50"
GRPC_ROUNDS = 4
Labels = np.ndarray
Method = Callable[[np.ndarray], tuple[Labels, dict[str, Any]]]


class PeakMemory:
    """The most memory that this process has while it is watched, in bytes."""

    def __init__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        pages = resource.getpagesize()
        while not self._over.wait(0.01):
            self.bytes = max(self.bytes, int(Path("/proc/self/statm").read_text().split()[1]) * pages)


def triptych(embeddings: np.ndarray) -> tuple[Labels, dict[str, Any]]:
    """Ours, with its progress."""
    from triptych_cluster.clustering import Faces, cluster_faces  # noqa: PLC0415 - only what is measured is imported
    from triptych_cluster.parameters import parameters_for  # noqa: PLC0415

    library = Faces(embeddings=embeddings, photo_ids=np.arange(len(embeddings)), scores=np.ones(len(embeddings)))
    began = time.perf_counter()
    times: list[float] = []
    found = cluster_faces(
        library, parameters_for(MODEL), on_progress=lambda progress: times.append(time.perf_counter() - began)
    )
    silences = np.diff([0.0, *times, time.perf_counter() - began])
    return found.labels, {
        "progress_events": len(times),
        "longest_silence_seconds": round(float(silences.max()), 2),
    }


def fast_hdbscan(embeddings: np.ndarray) -> tuple[Labels, dict[str, Any]]:
    """The fastest implementation of HDBSCAN, compiled by numba at its first call."""
    from fast_hdbscan import HDBSCAN  # noqa: PLC0415

    return HDBSCAN(min_cluster_size=2).fit_predict(embeddings), {}


def sklearn(embeddings: np.ndarray) -> tuple[Labels, dict[str, Any]]:
    """scikit-learn's HDBSCAN, by brute force on cosine distances."""
    from sklearn.cluster import HDBSCAN  # noqa: PLC0415

    return HDBSCAN(min_cluster_size=2, metric="cosine", algorithm="brute", copy=True).fit_predict(embeddings), {}


def hdbscan(embeddings: np.ndarray) -> tuple[Labels, dict[str, Any]]:
    """The original; of unit vectors, Euclidean distance orders as cosine does."""
    from hdbscan import HDBSCAN  # noqa: PLC0415

    return HDBSCAN(min_cluster_size=2, core_dist_n_jobs=os.cpu_count()).fit_predict(embeddings), {}


METHODS: dict[str, Method] = {
    "triptych": triptych,
    "fast_hdbscan": fast_hdbscan,
    "sklearn": sklearn,
    "hdbscan": hdbscan,
}

MODULES = {
    "triptych": "triptych_cluster.clustering",
    "fast_hdbscan": "fast_hdbscan",
    "sklearn": "sklearn.cluster",
    "hdbscan": "hdbscan",
}


def measure(method: str, cases: list[dict[str, Any]], seed: int) -> Iterator[dict[str, Any]]:
    """One method on each case, of ``n`` faces by a ``setting`` of the generator with some ``values``.

    A first call on few faces comes before: what it compiles is told apart.
    """
    group = METHODS[method]
    importlib.import_module(MODULES[method])
    few, _ = synthetic.generate(1500, 1)
    began = time.perf_counter()
    group(few)
    first_call_seconds = time.perf_counter() - began
    for case in cases:
        embeddings, identity = synthetic.generate(case["n"], seed, **case["values"])
        wall, processor = time.perf_counter(), time.process_time()
        with PeakMemory() as memory:
            labels, told = group(embeddings)
        yield {
            "method": method,
            "n": case["n"],
            "seed": seed,
            "setting": case["setting"],
            "seconds": round(time.perf_counter() - wall, 3),
            "cpu_seconds": round(time.process_time() - processor, 3),
            "first_call_seconds": round(first_call_seconds, 2),
            "peak_memory_bytes": memory.bytes,
            **told,
            **{name: float(value) for name, value in synthetic.score(identity, labels).items()},
        }


def requests(embeddings: np.ndarray) -> Iterator[Any]:
    """The faces as the gateway sends them."""
    from cluster_messages import face_messages  # noqa: PLC0415

    from triptych.v1 import clusterer_pb2  # noqa: PLC0415

    count, dimension = embeddings.shape
    header = clusterer_pb2.ClusterHeader(face_model_id=MODEL, dimension=dimension, face_count=count)
    yield clusterer_pb2.ClusterFacesRequest(header=header)
    yield from face_messages(embeddings)


async def ask(address: str, embeddings: np.ndarray) -> tuple[float, int]:
    """Seconds that a call took, and how many messages of progress came."""
    import grpc  # noqa: PLC0415

    from triptych.v1 import clusterer_pb2_grpc  # noqa: PLC0415

    async with grpc.aio.insecure_channel(address) as channel:
        await asyncio.wait_for(channel.channel_ready(), 60)
        began = time.perf_counter()
        answers = [
            answer.WhichOneof("part")
            async for answer in clusterer_pb2_grpc.ClustererStub(channel).ClusterFaces(iter(requests(embeddings)))
        ]
        return time.perf_counter() - began, answers.count("progress")


def through_grpc(sizes: list[int], seed: int) -> Iterator[dict[str, Any]]:
    """The service beside the library, alternately: what each run and each call took, in seconds."""
    address = "127.0.0.1:50953"
    environment = {
        **os.environ,
        "TRIPTYCH_LISTEN": address,
        "NATS_URL": "nats://127.0.0.1:1",
        "TRIPTYCH_LOG_LEVEL": "error",
    }
    service = subprocess.Popen(
        [str(Path(sys.executable).with_name("triptych-cluster"))], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        asyncio.run(ask(address, synthetic.generate(1500, 1)[0]))
        triptych(synthetic.generate(1500, 1)[0])
        for size in sizes:
            embeddings, _ = synthetic.generate(size, seed)
            here, there, reports = [], [], 0
            for _ in range(GRPC_ROUNDS):
                began = time.perf_counter()
                triptych(embeddings)
                here.append(time.perf_counter() - began)
                seconds, reports = asyncio.run(ask(address, embeddings))
                there.append(seconds)
            yield {
                "n": size,
                "library_seconds": [round(seconds, 3) for seconds in here],
                "grpc_seconds": [round(seconds, 3) for seconds in there],
                "progress_messages": reports,
            }
    finally:
        service.terminate()
        service.wait(30)


def main() -> None:
    task = json.loads(sys.argv[1])
    if task["method"] == "grpc":
        rows = through_grpc(task["sizes"], task["seed"])
    else:
        rows = measure(task["method"], task["cases"], task["seed"])
    for row in rows:
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
