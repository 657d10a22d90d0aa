"""The messages in which the gateway sends faces to the clusterer, of faces that are numbered by their places."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from triptych.v1 import clusterer_pb2
from triptych_gateway.catalog.clustering.face_space import FACES_PER_BATCH, FaceVectors
from triptych_gateway.pipeline.clustering.clustering_messages import faces_message


def face_messages(embeddings: NDArray[np.float32]) -> Iterator[clusterer_pb2.ClusterFacesRequest]:
    """The faces [n, d], each in a photo of its own."""
    for start in range(0, len(embeddings), FACES_PER_BATCH):
        vectors = embeddings[start : start + FACES_PER_BATCH]
        numbers = np.arange(start, start + len(vectors))
        yield faces_message(
            FaceVectors(
                face_ids=numbers,
                photo_ids=numbers,
                scores=np.ones(len(vectors), np.float32),
                sizes=np.zeros(len(vectors), np.float32),
                vectors=vectors,
            )
        )
