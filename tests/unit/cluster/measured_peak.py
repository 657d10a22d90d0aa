"""Groups made-up faces and prints the most anonymous memory that this took, in bytes; a process for test_memory.py."""

import re
import sys
import threading
from pathlib import Path

import numpy as np

from triptych_cluster.clustering import Faces, cluster_faces
from triptych_cluster.parameters import parameters_for
from triptych_cluster.workspace import Workspace


def anonymous_bytes() -> int:
    """Memory of this process that is no file's."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def rows_of(kind: str, count: int, dimension: int, workspace: Workspace) -> np.ndarray:
    """Many people, or everyone the same person, or copies of one picture."""
    random = np.random.default_rng(0)
    rows = workspace.array(count, dimension)
    people = random.standard_normal((max(count // 20, 1), dimension), np.float32)
    for start in range(0, count, 1000):
        part = slice(start, start + 1000)
        noise = random.standard_normal(rows[part].shape, np.float32)
        rows[part] = {
            "people": people[random.integers(0, len(people), len(noise))] + 0.8 * noise,
            "person": 1 + 0.5 * noise,
            "copies": np.ones_like(noise),
        }[kind]
    return rows


def main() -> None:
    """Arguments: kind, faces, dimension, search, and a directory for mapped files or nothing."""
    kind, count, dimension, search = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    workspace = Workspace(directory=Path(sys.argv[5]), mapped_above_bytes=0) if len(sys.argv) > 5 else Workspace()
    before = anonymous_bytes()
    peak, over = before, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.002):
            peak = max(peak, anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    faces = Faces(
        embeddings=rows_of(kind, count, dimension, workspace),
        photo_ids=np.arange(count),
        scores=np.ones(count, np.float32),
    )
    cluster_faces(faces, parameters_for("arcface-r50"), search=search, workspace=workspace)  # type: ignore[arg-type]
    over.set()
    watcher.join()
    sys.stdout.write(f"{peak - before}\n")


if __name__ == "__main__":
    main()
