"""Groups made-up faces and prints the most anonymous memory that this took, in bytes; a process for test_memory.py."""

import re
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from triptych.v1 import clusterer_pb2
from triptych_cluster.clustering import Faces, cluster_faces
from triptych_cluster.kept.changes import all_of, changes
from triptych_cluster.kept.incremental import cluster_increment, cluster_to_keep
from triptych_cluster.kept.wire import ReadKept, kept_messages
from triptych_cluster.neighbours.graph import Search
from triptych_cluster.parameters import parameters_for
from triptych_cluster.workspace import Workspace

PARAMETERS = parameters_for("arcface-r50")


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


def library(kind: str, count: int, dimension: int, workspace: Workspace) -> Faces:
    """Such faces, each in a photo of its own."""
    return Faces(
        embeddings=rows_of(kind, count, dimension, workspace),
        photo_ids=np.arange(count),
        scores=np.ones(count, np.float32),
    )


def former_messages(kind: str, count: int, dimension: int) -> list[bytes]:
    """What a run of all but the last hundredth of such faces gives to be kept, as messages."""
    rest = count - count // 100
    faces = library(kind, count, dimension, Workspace())
    former = Faces(embeddings=faces.embeddings[:rest], photo_ids=faces.photo_ids[:rest], scores=faces.scores[:rest])
    found = cluster_to_keep(former, np.arange(rest), PARAMETERS)
    return [message.SerializeToString() for message in kept_messages(all_of(found.kept))]


def keep(faces: Faces, messages: list[bytes], search: Search, workspace: Workspace) -> None:
    """Group the faces as the service does, given what was kept, or nothing."""
    face_ids = np.arange(len(faces.photo_ids))
    if not messages:
        changed = all_of(cluster_to_keep(faces, face_ids, PARAMETERS, search=search, workspace=workspace).kept)
    else:
        limit = len(faces.photo_ids)
        reading = ReadKept(clusterer_pb2.KeptHeader(face_count=limit, group_count=limit), neighbour_count=16)
        for content in messages:
            message = clusterer_pb2.ClusterFacesResponse.FromString(content)
            if message.HasField("kept_faces"):
                reading.add_faces(message.kept_faces)
            else:
                reading.add_groups(message.kept_groups)
        former = reading.state()
        known = former.of(face_ids)
        changed = changes(former, cluster_increment(faces, known, PARAMETERS, workspace=workspace).kept)
    for _ in kept_messages(changed):
        pass


def main() -> None:
    """Arguments: kind, faces, dimension, search, what is kept, and a directory for mapped files or nothing."""
    kind, count, dimension, search, keeps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
    workspace = Workspace(directory=Path(sys.argv[6]), mapped_above_bytes=0) if len(sys.argv) > 6 else Workspace()
    messages: list[bytes] = []
    if keeps == "increment":
        # In a process of its own, whose memory is not what is measured.
        with ProcessPoolExecutor(1, get_context("spawn")) as other:
            messages = other.submit(former_messages, kind, count, dimension).result()
    before = anonymous_bytes()
    peak, over = before, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.002):
            peak = max(peak, anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    faces = library(kind, count, dimension, workspace)
    if keeps == "nothing":
        cluster_faces(faces, PARAMETERS, search=search, workspace=workspace)  # type: ignore[arg-type]
    else:
        keep(faces, messages, search, workspace)  # type: ignore[arg-type]
    over.set()
    watcher.join()
    sys.stdout.write(f"{peak - before}\n")


if __name__ == "__main__":
    main()
