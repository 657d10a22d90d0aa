"""The clusterer as a process, asked to group faces given what is kept of most of them, as the gateway asks it."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from benchmarks.cluster_messages import face_messages
from triptych.v1 import clusterer_pb2, clusterer_pb2_grpc

_KEPT = ("kept_faces", "kept_groups", "gone")
Request = clusterer_pb2.ClusterFacesRequest
Response = clusterer_pb2.ClusterFacesResponse


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What came of a call.

    Attributes:
        seconds: from the first message sent to the last one read.
        labels: int32 [n], group of each face.
        kept: messages that tell what is to be kept, and what no longer.
        progress: messages of progress.
        summary: the last message.
    """

    seconds: float
    labels: NDArray[np.int32]
    kept: list[Response]
    progress: int
    summary: clusterer_pb2.ClusterSummary


@contextlib.contextmanager
def clusterer() -> Iterator[str]:
    """The service on a free port; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **os.environ,
        "TRIPTYCH_LISTEN": address,
        "NATS_URL": "nats://127.0.0.1:1",
        "TRIPTYCH_LOG_LEVEL": "error",
    }
    command = str(Path(sys.executable).with_name("triptych-cluster"))
    process = subprocess.Popen([command], env=environment, stderr=subprocess.DEVNULL)
    try:
        yield address
    finally:
        process.terminate()
        process.wait(30)


def ask(
    address: str,
    embeddings: NDArray[np.float32],
    *,
    model_id: str,
    kept: list[Response] | None = None,
    version: str = "",
) -> Answered:
    """Have the faces grouped, numbered by their places; ``kept`` is what a former answer gave to be kept."""
    return asyncio.run(_ask(address, _header(embeddings, model_id, kept, version), embeddings, kept or []))


def _header(
    embeddings: NDArray[np.float32], model_id: str, kept: list[Response] | None, version: str
) -> clusterer_pb2.ClusterHeader:
    count, dimension = embeddings.shape
    header = clusterer_pb2.ClusterHeader(face_model_id=model_id, dimension=dimension, face_count=count, keeps=True)
    if kept is not None:
        header.kept.CopyFrom(clusterer_pb2.KeptHeader(version=version, face_count=count, group_count=count))
    return header


async def _ask(
    address: str, header: clusterer_pb2.ClusterHeader, embeddings: NDArray[np.float32], kept: list[Response]
) -> Answered:
    async def requests() -> AsyncIterator[Request]:
        yield Request(header=header)
        for message in face_messages(embeddings):
            yield message
        for one in kept:
            if one.HasField("kept_faces"):
                yield Request(kept_faces=one.kept_faces)
            else:
                yield Request(kept_groups=one.kept_groups)

    async with grpc.aio.insecure_channel(address) as channel:
        await asyncio.wait_for(channel.channel_ready(), 60)
        stub: Any = clusterer_pb2_grpc.ClustererStub(channel)
        began = time.perf_counter()
        answers = [answer async for answer in stub.ClusterFaces(requests())]
        seconds = time.perf_counter() - began
    parts = [answer.WhichOneof("part") for answer in answers]
    return Answered(
        seconds=seconds,
        labels=np.array([group for answer in answers for group in answer.assignments.groups], np.int32),
        kept=[answer for answer, part in zip(answers, parts, strict=True) if part in _KEPT],
        progress=parts.count("progress"),
        summary=answers[-1].summary,
    )
