"""Reads what a caller streams: the header, then faces and what is kept of them, each checked against the header."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import numpy as np

from triptych.v1 import clusterer_pb2
from triptych_cluster.kept.wire import ReadKept
from triptych_cluster.question import Question, RawFaces, Received
from triptych_cluster.workspace import Workspace
from triptych_common.errors import InvalidRequestError
from triptych_common.models.description import vectors_from_bytes

MAX_DIMENSION: Final = 4096
"""Longest vector that is taken, in numbers."""
DISCARD_SECONDS: Final = 1.0
"""How long what a refused caller still sends is read. grpcio's client shows INTERNAL instead of the refusal where that
arrives between two of its writes (2 of 100 refusals, measured)."""


class Receiver:
    """One caller's stream. Everything raises InvalidRequestError where it stalls, or is not what it is said to be."""

    def __init__(
        self, requests: AsyncIterator[clusterer_pb2.ClusterFacesRequest], *, max_faces: int, timeout_seconds: float
    ) -> None:
        self._requests = requests
        self._max_faces = max_faces
        self._timeout_seconds = timeout_seconds

    async def header(self) -> clusterer_pb2.ClusterHeader:
        """The first message."""
        request = await self._next()
        if request is None or request.WhichOneof("part") != "header":
            raise InvalidRequestError("The first message must be the header.", reason="NO_HEADER")
        header = request.header
        if not 1 <= header.dimension <= MAX_DIMENSION:
            raise InvalidRequestError(
                f"The dimension is {header.dimension}, not 1 to {MAX_DIMENSION}.", reason="BAD_DIMENSION"
            )
        if header.face_count > self._max_faces:
            raise InvalidRequestError(
                f"{header.face_count:,} faces are more than this service groups at once ({self._max_faces:,});"
                " raise TRIPTYCH_MAX_FACES if its memory allows.",
                reason="TOO_MANY_FACES",
            )
        return header

    async def rest(self, question: Question, workspace: Workspace) -> Received:
        """All faces, as many as the header says, and what is kept of some. Raises PreconditionError (DISK_FULL)."""
        header = question.header
        faces = RawFaces.empty(header.face_count, header.dimension, workspace)
        useless = _useless(question, max_faces=self._max_faces)
        kept = None if useless else ReadKept(header.kept, neighbour_count=question.parameters.neighbour_count)
        read = 0
        while (request := await self._next()) is not None:
            match request.WhichOneof("part"):
                case "faces":
                    read = _take(faces, request.faces, read=read, header=header)
                case "kept_faces":
                    if kept is not None:
                        kept.add_faces(request.kept_faces)
                case "kept_groups":
                    if kept is not None:
                        kept.add_groups(request.kept_groups)
                case _:
                    raise InvalidRequestError(
                        "Only faces and what is kept of them may follow the header.", reason="BAD_BATCH"
                    )
        if read != header.face_count:
            raise InvalidRequestError(
                f"The header announces {header.face_count} faces, but {read} came.", reason="FACE_COUNT_MISMATCH"
            )
        if len(np.unique(faces.face_ids)) != read:
            raise InvalidRequestError("Two faces have the same id.", reason="DUPLICATE_FACE")
        return Received(faces=faces, kept=kept, reason=useless)

    async def discard(self) -> None:
        """Read what still comes, for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_SECONDS):
                async for _ in self._requests:
                    pass

    async def _next(self) -> clusterer_pb2.ClusterFacesRequest | None:
        """The caller's next message, or None after the last. A caller that stalls must not hold up the others."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await anext(aiter(self._requests), None)
        except TimeoutError as error:
            raise InvalidRequestError(
                f"Nothing came for {self._timeout_seconds:g} s.", reason="STREAM_STALLED"
            ) from error


def _useless(question: Question, *, max_faces: int) -> str:
    """Why what a former call gave to be kept cannot be used; empty where it can."""
    header = question.header
    if not header.keeps:
        return "nothing is to be kept"
    if not question.plan.keeps:
        return "there is too little memory to keep anything"
    if not header.HasField("kept"):
        return "nothing was kept"
    if header.kept.version != question.version():
        return "what was kept is of another version of the clusterer or of its parameters"
    if max(header.kept.face_count, header.kept.group_count) > max_faces:
        return f"what was kept is of more faces than this service groups at once ({max_faces:,})"
    return ""


def _take(faces: RawFaces, batch: clusterer_pb2.FaceBatch, *, read: int, header: clusterer_pb2.ClusterHeader) -> int:
    """Put a batch behind what was read; returns how many faces are read now. Raises InvalidRequestError."""
    end = read + len(batch.face_ids)
    # Each look at bytes of a message copies them.
    vectors = batch.vectors
    _check_batch(batch, vectors, end=end, header=header)
    faces.face_ids[read:end] = batch.face_ids
    faces.photo_ids[read:end] = batch.photo_ids
    faces.scores[read:end] = batch.scores
    faces.sizes[read:end] = batch.sizes or 0
    faces.embeddings[read:end] = vectors_from_bytes(vectors, dimension=header.dimension)
    return end


def _check_batch(
    batch: clusterer_pb2.FaceBatch, vectors: bytes, *, end: int, header: clusterer_pb2.ClusterHeader
) -> None:
    """Raise InvalidRequestError where a batch's lists disagree or exceed what the header announced."""
    count = len(batch.face_ids)
    if not len(batch.photo_ids) == len(batch.scores) == count:
        raise InvalidRequestError(
            f"A batch has {count} face ids, {len(batch.photo_ids)} photo ids and {len(batch.scores)} scores.",
            reason="BAD_BATCH",
        )
    if len(batch.sizes) not in (0, count):
        raise InvalidRequestError(f"A batch has {count} face ids and {len(batch.sizes)} sizes.", reason="BAD_BATCH")
    if len(vectors) != 4 * count * header.dimension:
        raise InvalidRequestError(
            f"A batch of {count} faces has {len(vectors)} bytes of vectors, not {4 * count * header.dimension}.",
            reason="BAD_BATCH",
        )
    if end > header.face_count:
        raise InvalidRequestError(
            f"The header announces {header.face_count} faces, but more came.", reason="FACE_COUNT_MISMATCH"
        )
