"""Groups the faces of a library into people: neighbour graph, density groups, merge of groups that agree."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from triptych_cluster.groups.fading_groups import faces_around, fading_groups
from triptych_cluster.groups.grouping import group_components
from triptych_cluster.groups.merging import Compare, merge_agreeing_groups
from triptych_cluster.groups.mixed_faces import mixed_faces
from triptych_cluster.groups.together import repeated_in_photos, weaker_of_each_photo
from triptych_cluster.groups.tree import DensityGroups, dense
from triptych_cluster.groups.weak_faces import weak_faces, without_bridges
from triptych_cluster.neighbours.arrangement import chunks
from triptych_cluster.neighbours.components import component_batches, component_labels
from triptych_cluster.neighbours.exact import NeighbourGraph, block_pair_count
from triptych_cluster.neighbours.graph import ArrangedGraph, Search, arranged_graph, graph_steps, search_for
from triptych_cluster.parallel import in_parallel
from triptych_cluster.parameters import Parameters, UnfitFacesError
from triptych_cluster.sums import group_sums
from triptych_cluster.workspace import IN_MEMORY, Workspace

Stage = Literal["neighbours", "tree", "merge"]
Reporter = Callable[[Stage, int], Callable[[int], None]]
"""See `reporter`."""


LOOK_STEPS = 16
"""Steps in which groups that fade out are looked for, and as many for faces between two people."""


class Cancelled(Exception):  # noqa: N818 - a request that was fulfilled, not a failure
    """The caller asked to stop, and the work was left unfinished."""


_KINDS = {"embeddings": np.float32, "photo_ids": np.int64, "scores": np.float32, "sizes": np.float32}


@dataclass(frozen=True, kw_only=True)
class Faces:
    """The faces to group. Arrays are brought to the types below.

    Attributes:
        embeddings: float32 [n, d], all of one face model.
        photo_ids: int64 [n], the photo that each face is in: two faces of one photo are two people.
        scores: float32 [n], detection scores: low ones make a face weak, and of equally fitting faces of one photo the
            higher one stays.
        sizes: float32 [n], shorter side of each face's box in the photo, in pixels; 0 where unknown, the default.

    Raises:
        ValueError: if shapes disagree.
        UnfitFacesError: if a number is not finite.
    """

    embeddings: NDArray[np.float32]
    photo_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    sizes: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    def __post_init__(self) -> None:
        if not len(self.sizes):
            object.__setattr__(self, "sizes", np.zeros(len(self.photo_ids), np.float32))
        for name, kind in _KINDS.items():
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=kind))
        count = len(self.photo_ids)
        if self.embeddings.ndim != 2 or self.embeddings.shape[1] == 0:
            raise ValueError(f"Embeddings must have the shape [n, d] with d ≥ 1, not {list(self.embeddings.shape)}.")
        if any(values.shape != (len(self.embeddings),) for values in (self.photo_ids, self.scores, self.sizes)):
            raise ValueError(
                f"There are {len(self.embeddings)} embeddings, but photo ids of shape {list(self.photo_ids.shape)}, "
                f"scores of shape {list(self.scores.shape)} and sizes of shape {list(self.sizes.shape)}."
            )
        finite = np.isfinite(self.scores) & np.isfinite(self.sizes)
        for part in chunks(count):
            finite[part] &= np.isfinite(self.embeddings[part]).all(axis=1)
        if not finite.all():
            raise UnfitFacesError(
                f"{count - np.count_nonzero(finite)} of {count} faces have an embedding, a score or a size that is not "
                f"finite, the first of them face {int(np.argmin(finite))}."
            )


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far one stage has come: 0 ≤ done ≤ total, done never falls within a stage, and total never changes.

    Attributes:
        stage: "neighbours", then "tree", then "merge". The first is nearly all of the time in large libraries.
        done: units of the stage that are finished: pairs of blocks of faces or steps of a search; faces; pairs of
            blocks of groups and further steps.
        total: units of the stage.
    """

    stage: Stage
    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """The groups that were found.

    Attributes:
        labels: int32 [n], group of each face, -1 for none; 0..g-1 from the largest group to the smallest, equally large
            ones in the order of their first faces.
        probabilities: float32 [n], 0..1, how firmly each face belongs to its group; 0 for faces in none.
        cohesions: float32 [g], 0..1, how alike the faces of each group are: 1 for copies of one picture, 0 where they
            are as far apart (root mean square of Euclidean, mean of cosine distances) as strangers.
    """

    labels: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    cohesions: NDArray[np.float32]


def cluster_faces(
    faces: Faces,
    parameters: Parameters,
    *,
    search: Search | None = None,
    seed: int = 0,
    workspace: Workspace = IN_MEMORY,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Grouping:
    """Group faces into people.

    The partition is the same on every run and in whatever order the faces come; only faces that are identical in
    embedding, photo and score can change places. No group has fewer than `min_cluster_size` faces, or two of one photo.
    What it takes of memory: see `memory.estimate`.

    Args:
        faces: n faces; none and one are fine.
        parameters: of the faces' model, see `parameters_for`.
        search: how neighbours are searched for; None for exactly while that is fast, see `graph.search_for`.
        seed: of an approximate search.
        workspace: where a copy of the embeddings goes.
        on_progress: called before every counted piece of work and at the end of each stage.
        is_cancelled: asked whenever progress is reported.

    Raises:
        Cancelled: if `is_cancelled` said so.
        UnfitFacesError: if an embedding cannot be compared: see `Metric.check`.
        OSError: if the workspace has no room.
    """

    report = reporter(on_progress, is_cancelled)
    count = len(faces.photo_ids)
    search = search or search_for(count)
    arranged = linked(faces, parameters, search=search, seed=seed, workspace=workspace, report=report)
    graph = meaningful_edges(faces, arranged, parameters)
    on_faces = report("tree", count)
    on_faces(0)
    batches = component_batches(component_labels(graph), least_faces=parameters.min_cluster_size)
    # Those that are alone need no tree.
    alone = count - sum(len(batch) for batch in batches)
    density = group_components(
        graph,
        batches,
        faces.photo_ids[arranged.order],
        parameters,
        on_faces=lambda grouped: on_faces(alone + grouped),
    )
    on_faces(count)
    return merged(faces, arranged, density, parameters, report=report)


def reporter(on_progress: Callable[[Progress], None], is_cancelled: Callable[[], bool]) -> Reporter:
    """What makes, of a stage and its total, the function that the stage tells how much is done.

    That function raises Cancelled once `is_cancelled` says so.
    """

    def report(stage: Stage, total: int) -> Callable[[int], None]:
        def on_done(done: int) -> None:
            if is_cancelled():
                raise Cancelled(f"Stopped in stage {stage} after {done} of {total}.")
            on_progress(Progress(stage=stage, done=done, total=total))

        return on_done

    return report


def linked(
    faces: Faces, parameters: Parameters, *, search: Search, seed: int, workspace: Workspace, report: Reporter
) -> ArrangedGraph:
    """Put the faces in order and link each with its nearest: the first stage. Raises as `arranged_graph` does."""
    total = graph_steps(len(faces.photo_ids), search)
    on_step = report("neighbours", total)
    arranged = arranged_graph(
        faces.embeddings,
        faces.photo_ids,
        faces.scores,
        parameters,
        search=search,
        seed=seed,
        workspace=workspace,
        on_step=on_step,
    )
    on_step(total)
    return arranged


def meaningful_edges(faces: Faces, arranged: ArrangedGraph, parameters: Parameters) -> NeighbourGraph:
    """The graph without the edges by which weak faces would hold others together."""
    weak = weak_faces(faces.scores[arranged.order], faces.sizes[arranged.order], parameters)
    return without_bridges(arranged.graph, weak)


def merged(
    faces: Faces,
    arranged: ArrangedGraph,
    density: DensityGroups,
    parameters: Parameters,
    *,
    report: Reporter,
    compare: Compare | None = None,
) -> Grouping:
    """Merge the density groups of all components where they agree, and let go what is nobody's.

    That are groups that fade out, faces between two people, and each photo's weaker faces.

    ``compare`` as `merge_agreeing_groups` takes it, for the groups in the order of their numbers.
    """
    order, embeddings = arranged.order, arranged.embeddings
    photo_ids, scores = faces.photo_ids[order], faces.scores[order]
    labels = dense(density.labels)
    blocks = block_pair_count(int(labels.max(initial=-1)) + 1)
    total = blocks + 2 * LOOK_STEPS
    on_step = report("merge", total)
    labels = dense(merge_agreeing_groups(labels, embeddings, photo_ids, parameters, on_block=on_step, compare=compare))
    labels = _without_nobodies(labels, embeddings, parameters, on_step=lambda done: on_step(blocks + done))
    closeness = _closeness_to_centroids(repeated_in_photos(labels, photo_ids), labels, embeddings, parameters)
    labels[weaker_of_each_photo(labels, photo_ids, closeness=closeness, scores=scores)] = -1
    labels = _of_enough_faces(labels, parameters)
    on_step(total)
    return _grouping(labels, density.probabilities, embeddings, order, parameters)


def _without_nobodies(
    labels: NDArray[np.int64],
    embeddings: NDArray[np.float32],
    parameters: Parameters,
    *,
    on_step: Callable[[int], None],
) -> NDArray[np.int64]:
    """The same groups, dense, without those that fade out, and without faces between two people."""
    sums, counts = group_sums(labels, embeddings)
    around = faces_around(
        labels, embeddings, sums, counts, parameters, on_share=lambda share: on_step(int(LOOK_STEPS * share))
    )
    stays = ~fading_groups(around, counts, parameters)
    labels = dense(np.where((labels >= 0) & stays[labels], labels, -1)) if len(counts) else labels
    mixed = mixed_faces(
        labels,
        embeddings,
        sums[stays],
        counts[stays],
        parameters,
        on_share=lambda share: on_step(LOOK_STEPS + int(LOOK_STEPS * share)),
    )
    labels[mixed] = -1
    return dense(labels)


def _of_enough_faces(labels: NDArray[np.int64], parameters: Parameters) -> NDArray[np.int64]:
    """The same groups but for those that have too few faces left, dense."""
    counts = np.bincount(labels[labels >= 0])
    few = np.flatnonzero(counts < parameters.min_cluster_size)
    return dense(np.where(np.isin(labels, few), -1, labels))


def _closeness_to_centroids(
    asked: NDArray[np.intp], labels: NDArray[np.int64], embeddings: NDArray[np.float32], parameters: Parameters
) -> NDArray[np.float32]:
    """Closeness [n] of some faces, which are in groups, to the centroids of theirs; 0 for the others."""
    metric = parameters.metric
    closeness = np.zeros(len(labels), np.float32)
    if not len(asked):
        return closeness
    centroids = metric.centroids(*group_sums(labels, embeddings))

    def measure(part: slice) -> None:
        faces = asked[part]
        closeness[faces] = -metric.half_squares(embeddings[faces] - centroids[labels[faces]])

    in_parallel(measure, list(chunks(len(asked))))
    return closeness


def _grouping(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    embeddings: NDArray[np.float32],
    order: NDArray[np.intp],
    parameters: Parameters,
) -> Grouping:
    """The answer in the caller's order of faces, from labels and probabilities in the canonical one."""
    groups = int(labels.max(initial=-1)) + 1
    members = np.flatnonzero(labels >= 0)
    first_faces = np.full(groups, len(labels), np.intp)
    np.minimum.at(first_faces, labels[members], order[members])
    sums, sizes = group_sums(labels, embeddings)
    ranked = np.lexsort((first_faces, -sizes))
    rank = np.empty(groups, np.int32)
    rank[ranked] = np.arange(groups, dtype=np.int32)
    final_labels = np.full(len(labels), -1, np.int32)
    final_labels[order[members]] = rank[labels[members]]
    final_probabilities = np.zeros(len(labels), np.float32)
    final_probabilities[order[members]] = probabilities[members]
    return Grouping(
        labels=final_labels,
        probabilities=final_probabilities,
        cohesions=_cohesions(labels, embeddings, sums, sizes, parameters)[ranked],
    )


def _cohesions(
    labels: NDArray[np.int64],
    embeddings: NDArray[np.float32],
    sums: NDArray[np.float32],
    sizes: NDArray[np.int64],
    parameters: Parameters,
) -> NDArray[np.float32]:
    """How alike the faces of each group are, [g], 0..1; see `Grouping`.

    The mean closeness of a group's m(m-1)/2 pairs needs no pairs: Σᵢ<ⱼ |xᵢ - xⱼ|² = m·Σ|xᵢ|² - |Σxᵢ|².
    """
    members = np.flatnonzero(labels >= 0)
    half_squares = parameters.metric.half_squares(embeddings)[members]
    totals = np.bincount(labels[members], weights=2.0 * half_squares, minlength=len(sizes))
    squares = sizes * totals - np.einsum("ij,ij->i", sums, sums, dtype=np.float64)
    mean_closeness = -squares / (sizes * (sizes - 1))
    spread = parameters.metric.distance(mean_closeness.astype(np.float32))
    cohesions: NDArray[np.float32] = np.clip(1 - spread / np.float32(parameters.stranger_distance), 0, 1)
    return cohesions
