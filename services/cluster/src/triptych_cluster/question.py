"""What a call asks of the clusterer, how it is to be answered, and where its faces lie."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych.v1 import clusterer_pb2
from triptych_cluster.kept.version import kept_version
from triptych_cluster.kept.wire import ReadKept
from triptych_cluster.memory import MemoryTooSmallError, Plan, plan
from triptych_cluster.parameters import Parameters
from triptych_cluster.workspace import Workspace
from triptych_common.errors import PreconditionError


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemorySettings:
    """What a grouping may take.

    Attributes:
        limit_bytes: the most memory, mapped files not counted.
        directory: of mapped files, on a disk.
        mapped_above_bytes: vectors larger than this, together, lie in mapped files.
    """

    limit_bytes: int
    directory: Path | None = None
    mapped_above_bytes: int | None = None

    def plan(self, header: clusterer_pb2.ClusterHeader, parameters: Parameters) -> Plan:
        """How so many faces are grouped. Raises PreconditionError (MEMORY_TOO_SMALL)."""
        try:
            return plan(
                header.face_count,
                header.dimension,
                parameters.neighbour_count,
                limit_bytes=self.limit_bytes,
                mapped_above_bytes=self.mapped_above_bytes,
                kept_count=header.kept.face_count if header.keeps else None,
            )
        except MemoryTooSmallError as error:
            raise PreconditionError(
                str(error), reason="MEMORY_TOO_SMALL", metadata={"needed_bytes": str(error.needed_bytes)}
            ) from error

    def workspace(self, plan: Plan) -> Workspace:
        """Where the vectors of such a grouping lie."""
        return Workspace(directory=self.directory, mapped_above_bytes=0 if plan.mapped else None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """What a call asks, and how it is answered."""

    header: clusterer_pb2.ClusterHeader
    parameters: Parameters
    plan: Plan

    def version(self) -> str:
        """Under which version what is kept holds."""
        return kept_version(self.parameters, model_id=self.header.face_model_id, dimension=self.header.dimension)


@contextmanager
def room_on_disk() -> Iterator[None]:
    """Room for vectors on disk. Raises PreconditionError (DISK_FULL) where there is none."""
    try:
        yield
    except OSError as error:
        raise PreconditionError(
            f"There is no room for the vectors: {error}. TRIPTYCH_SPILL_DIRECTORY names another disk.",
            reason="DISK_FULL",
        ) from error


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RawFaces:
    """Faces as they came, unchecked; see Faces for the shapes.

    Attributes:
        face_ids: int64 [n], the caller's numbers.
    """

    face_ids: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    photo_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    sizes: NDArray[np.float32]

    @classmethod
    def empty(cls, count: int, dimension: int, workspace: Workspace) -> "RawFaces":
        """Room for so many faces; memory is only taken as it is filled. Raises PreconditionError (DISK_FULL)."""
        with room_on_disk():
            embeddings = workspace.array(count, dimension)
        return cls(
            face_ids=np.empty(count, np.int64),
            embeddings=embeddings,
            photo_ids=np.empty(count, np.int64),
            scores=np.empty(count, np.float32),
            sizes=np.empty(count, np.float32),
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Received:
    """What a call sent.

    Attributes:
        faces: all of them.
        kept: what a former call gave to be kept; None where it is of no use.
        reason: why it is of no use, if anything was sent or is to be kept.
    """

    faces: RawFaces
    kept: ReadKept | None
    reason: str
