"""How much memory a grouping takes, told beforehand, and what is chosen so that it fits.

The figures are upper bounds, also for libraries of one person or of copies of one picture; a test compares them with
what such runs really take.
"""

from dataclasses import dataclass

from triptych_cluster.kept import graph as kept_graph
from triptych_cluster.neighbours.exact import block_rows
from triptych_cluster.neighbours.graph import Search, search_for
from triptych_cluster.neighbours.sketches import SKETCH_DIMENSION
from triptych_cluster.parallel import thread_count

# Measured with 2,000 to 100,000 faces, of many people, of one, and all alike, and rounded up.
_BASE_BYTES = 48 * 2**20
_FACE_BYTES = 400
_EDGE_BYTES = 70
_SKETCH_NUMBER_BYTES = 13
_THREAD_BYTES = 32 * 2**20
_BLOCK_PAIR_BYTES = 120
_KEPT_FACE_BYTES = 60
_KEPT_EDGE_BYTES = 20


class MemoryTooSmallError(Exception):
    """The faces cannot be grouped within the limit; the message has the figures."""

    def __init__(self, face_count: int, *, needed_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"Grouping {face_count:,} faces takes {needed_bytes / 2**20:,.0f} MiB of memory besides mapped files, and "
            f"{limit_bytes / 2**20:,.0f} MiB are allowed; raise TRIPTYCH_MAX_MEMORY_BYTES if the machine has more."
        )
        self.needed_bytes = needed_bytes
        self.limit_bytes = limit_bytes


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a library is grouped.

    Attributes:
        search: how neighbours are searched for.
        mapped: whether the vectors lie in memory-mapped files.
        keeps: whether the graph is kept, and one that was kept is used.
        peak_bytes: the most memory that it takes, the caller's vectors included, mapped files not.
    """

    search: Search
    mapped: bool
    keeps: bool
    peak_bytes: int


def peak_bytes(
    face_count: int,
    dimension: int,
    neighbour_count: int,
    *,
    search: Search,
    mapped: bool,
    kept_count: int | None = None,
) -> int:
    """The most memory that a grouping takes, with the caller's vectors, beyond what the process has without it.

    Args:
        face_count: n.
        dimension: d, numbers of each vector.
        neighbour_count: k, edges that a face may begin.
        search: how neighbours are searched for.
        mapped: whether the vectors lie in memory-mapped files, which are the kernel's to keep in memory or not.
        kept_count: faces of which something was kept before; None for `cluster_faces`, which keeps nothing.
    """
    vectors = 0 if mapped else 2 * 4 * face_count * dimension
    faces = face_count * (_FACE_BYTES + _EDGE_BYTES * neighbour_count)
    block = block_rows(face_count) if search == "exact" else 0
    sketches = 0
    if search == "approximate":
        sketches = _SKETCH_NUMBER_BYTES * face_count * min(dimension, SKETCH_DIMENSION) + _THREAD_BYTES * thread_count()
    kept = 0
    if kept_count is not None:
        kept = (face_count + kept_count) * (_KEPT_FACE_BYTES + _KEPT_EDGE_BYTES * neighbour_count)
        block = max(block, min(kept_graph.BLOCK_ROWS, face_count)) if kept_count else block
    return _BASE_BYTES + vectors + faces + sketches + kept + _BLOCK_PAIR_BYTES * block**2


def plan(
    face_count: int,
    dimension: int,
    neighbour_count: int,
    *,
    limit_bytes: int,
    mapped_above_bytes: int | None,
    kept_count: int | None = None,
) -> Plan:
    """The first that fits of: as it is best for so many faces, the same with mapped vectors, approximately with them.

    Nothing is kept where that does not fit too: it costs the next run time, another search would cost this one groups.

    Args:
        face_count: n.
        dimension: d, numbers of each vector.
        neighbour_count: k, edges that a face may begin.
        limit_bytes: the most memory that it may take.
        mapped_above_bytes: vectors that together are larger than this are mapped anyhow; None for where they must be.
        kept_count: faces of which something was kept before; None where nothing is to be kept.

    Raises:
        MemoryTooSmallError: if nothing fits.
    """
    best = search_for(face_count)
    large = mapped_above_bytes is not None and 4 * face_count * dimension > mapped_above_bytes
    choices: list[tuple[Search, tuple[bool, ...]]] = [(best, (large, True)), ("approximate", (True,))]
    plans = [
        Plan(
            search=search,
            mapped=mapped,
            keeps=kept is not None,
            peak_bytes=peak_bytes(
                face_count, dimension, neighbour_count, search=search, mapped=mapped, kept_count=kept
            ),
        )
        for search, mappings in choices
        for kept in dict.fromkeys((kept_count, None))
        for mapped in mappings
    ]
    for one in plans:
        if one.peak_bytes <= limit_bytes:
            return one
    needed = min(one.peak_bytes for one in plans)
    raise MemoryTooSmallError(face_count, needed_bytes=needed, limit_bytes=limit_bytes)
