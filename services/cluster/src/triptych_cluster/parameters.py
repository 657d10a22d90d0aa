"""What grouping needs to know of a face model: its metric and the distances that mean something in it.

Distances of one model say nothing about another's, so every number here belongs to the id of a model.

**dlib-resnet-v1** gives raw 128-d vectors of length 1.25–1.6, compared by Euclidean distance; the cosine of two
strangers is 0.8–0.9 and tells little. Measured on the six people of InsightFace's group photo, its portrait and
scikit-image's astronaut, each picture in 13 versions (turned by ±8°, mirrored, resized, darker, brighter, flatter,
warmer, grey, JPEG quality 30 and 12), 101 faces in all:

==============================================  =====  =====  =====  =====
Euclidean distance                                min     5 %  median    max
==============================================  =====  =====  =====  =====
one person, two versions of a picture            0.00   0.07   0.18   0.39
one person, a face to the nearest other version  0.00   0.04   0.11   0.34
two people                                       0.59   0.69   0.78   0.95
one person, centroids of two halves              0.05   0.06   0.09   0.22
two people, centroids of such halves             0.59   0.68   0.75   0.91
==============================================  =====  =====  =====  =====

Different pictures of one person lie further apart than versions of one, hence a ceiling above the largest of the first
row; at 0.6, the threshold that dlib itself names, a large library joins strangers.

**ArcFace** models give directions: unit vectors, compared by cosine distance (1 − cosine, 0..2), cosine about 0.6
within a person and about 0 between strangers. The numbers were chosen on synthetic embeddings of that geometry
(`benchmarks/faces.py`), over eight seeds and settings of 3,000 to 16,000 faces, and checked on seeds and settings that
were not looked at (`make bench-cluster`, docs/models.md). With 12 neighbours F1 is the same as with 16, with 24 and 32
it is 0.0005 lower: more edges join look-alikes, and fewer leave little for a library that grows.
"""

from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray


class UnfitFacesError(ValueError):
    """An embedding, a score or a size that nothing can be computed with."""


class Metric(Enum):
    """How two embeddings of a model are compared.

    Both metrics rest on one quantity that a matrix product gives, the *closeness* of two rows: minus half their squared
    Euclidean distance, ≤ 0 up to rounding. For unit vectors that is cosine − 1.
    """

    COSINE = "cosine"
    """1 − cosine of unit vectors, 0..2."""
    EUCLIDEAN = "euclidean"
    """Euclidean distance of raw vectors, ≥ 0."""

    def check(self, embeddings: NDArray[np.float32]) -> None:
        """See that rows [n, d] can be compared.

        Raises:
            UnfitFacesError: if a row's squared length is beyond float32, or 0 where the metric is cosine.
        """
        with np.errstate(over="ignore"):
            squares = np.einsum("ij,ij->i", embeddings, embeddings)
        if not np.isfinite(squares).all():
            raise UnfitFacesError(f"Face {int(np.argmax(squares))} has an embedding whose length is beyond float32.")
        if self is Metric.COSINE and not squares.all():
            raise UnfitFacesError(
                f"Face {int(np.argmin(squares))} has an embedding of length 0, which has no direction."
            )

    def normalised(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Checked rows [n, d] in the form that this metric compares: of unit length for cosine, else as they are."""
        if self is Metric.EUCLIDEAN:
            return embeddings
        return np.divide(embeddings, _lengths(embeddings), dtype=np.float32)

    def half_squares(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Half the squared length of each prepared row, [n]: a·b − half(a) − half(b) is the closeness of a and b."""
        halves: NDArray[np.float32] = np.einsum("ij,ij->i", rows, rows) / np.float32(2)
        return halves

    def closeness(self, distance: float) -> float:
        """The closeness, ≤ 0, of two rows at this distance, ≥ 0."""
        return -distance if self is Metric.COSINE else -distance * distance / 2

    def closenesses(self, distances: NDArray[np.float32]) -> NDArray[np.float32]:
        """The closeness of each of these distances: the way back from `distance`."""
        return -distances if self is Metric.COSINE else -distances * distances / np.float32(2)

    def distance(self, closeness: NDArray[np.float32]) -> NDArray[np.float32]:
        """The distances, ≥ 0, of rows of these closenesses; what rounding has put above 0 counts as 0."""
        gap: NDArray[np.float32] = np.maximum(-closeness, np.float32(0))
        return gap if self is Metric.COSINE else np.sqrt(2 * gap).astype(np.float32)

    def distances_of_pairs(self, first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
        """The distance [m] of each prepared row [m, d] to the one beside it."""
        return self.distance(-self.half_squares(first - second))

    def distances_from_rest(
        self, rows: NDArray[np.float32], sums: NDArray[np.float32], counts: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The distance [m] of each prepared row to the centre of the other rows of its group.

        Without making those centres: only the row's product with the sum is new for each.

        Args:
            rows: float32 [m, d].
            sums: float32 [m, d], of all rows of the group that each is in.
            counts: int64 [m], of rows in it, ≥ 2.
        """
        along = np.einsum("ij,ij->i", rows, sums).astype(np.float64)
        own = 2 * self.half_squares(rows).astype(np.float64)
        whole = 2 * self.half_squares(sums).astype(np.float64)
        if self is Metric.EUCLIDEAN:
            squares = (counts * (counts * own - 2 * along) + whole) / np.square(counts - 1)
            return self.distance((-squares / 2).astype(np.float32))
        lengths = np.sqrt(np.maximum(whole - 2 * along + own, np.finfo(np.float32).eps))
        return self.distance(((along - own) / lengths - 1).astype(np.float32))

    def share_of_other(
        self, rows: NDArray[np.float32], own: NDArray[np.float32], other: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """How much of another centre is in each prepared row, [m]: 0 for none, 0.5 half-way, 1 where it is all other.

        The other's weight in the mixture of the row's own centre and the other that is nearest to the row (least
        squares). Of vectors, weights sum to 1. Of directions, whatever a poor face has less of both does not count.

        Args:
            rows: float32 [m, d].
            own: float32 [m, d], the centre that each row belongs to; of unit length where the metric is cosine.
            other: float32 [m, d], another, which is not the same.
        """
        if self is Metric.EUCLIDEAN:
            way = other - own
            along, length = np.einsum("ij,ij->i", rows - own, way), np.einsum("ij,ij->i", way, way)
        else:
            alike = np.einsum("ij,ij->i", own, other)
            along = np.einsum("ij,ij->i", rows, other) - alike * np.einsum("ij,ij->i", rows, own)
            length = 1 - alike * alike
        shares: NDArray[np.float32] = along / np.maximum(length, np.finfo(np.float32).eps)
        return shares

    def centroids(self, sums: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float32]:
        """The centre [g, d] of each group, from the sum [g, d] and number [g] of its prepared rows.

        The direction of the sum for cosine (nothing where the rows cancel out), the mean for Euclidean.
        """
        if self is Metric.EUCLIDEAN:
            return (sums / counts[:, None]).astype(np.float32)
        return np.divide(sums, np.maximum(_lengths(sums), np.finfo(np.float32).tiny), dtype=np.float32)


def _lengths(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The length [n, 1] of each row [n, d]."""
    lengths: NDArray[np.float32] = np.linalg.norm(rows, axis=1, keepdims=True).astype(np.float32, copy=False)
    return lengths


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """How the faces of one model are grouped. Distances are in the metric's unit."""

    metric: Metric
    """How two embeddings are compared."""
    same_distance: float
    """At or below this two faces are surely one person, and nearer says no more: bursts, copies and edits of a picture.

    Without it they are so dense that excess of mass prefers each burst to the person; measured with a tenth of the
    faces repeated up to five times, BCubed F1 is 0.69 without and 0.97 with it.
    """
    ceiling: float
    """Above this two faces are never joined directly."""
    merge_distance: float
    """At or below this distance of their centroids two groups are one person's.

    A fixed number of neighbours breaks large identities apart as a library grows, and this mends it.
    """
    stranger_distance: float
    """Typical distance of two strangers. Here a group's excess of mass begins, and here cohesion is 0."""
    sure_distance: float
    """At or below this distance from its group's centre a face is not suspected of being between two people.

    It saves time: with ArcFace's, 14 to 30 % of the faces are further away, and F1 is at most 0.0003 lower than if all
    were asked.
    """
    neighbour_count: int = 16
    """Edges that a face may begin, ≥ 1."""
    min_samples: int = 2
    """Faces, itself included, within a face's core distance, ≥ 1. With 3 and 4 siblings part less well than with 2."""
    min_cluster_size: int = 2
    """Least faces of a group, ≥ 2: a face alone is not yet a person."""
    weak_below_score: float = 0.0
    """Faces detected with a lower score say little: they join a person, but do not hold two groups together.

    Measured on eight made-up libraries in which three quarters of the blurred, half-way and poor faces, and 3 % of the
    good ones, had low scores: BCubed F1 between 0.0004 less and 0.0014 more than without the rule, 0.0005 more in the
    mean; leaving those faces out instead costs 0.02 to 0.04.
    """
    weak_below_pixels: float = 0.0
    """Faces whose box has a shorter side say little, likewise; faces of unknown size (0) are not judged by it."""
    shared_photo_tolerance: float = 0.2
    """Share, 0..1, of the smaller of two groups that may be in photos of the larger while both can still be one person.

    One photo of many is a mirror or a collage; more than a fifth of them is two people who are often together. Measured
    with siblings in common photos and 2 % mirrors: BCubed F1 0.965 from 0.1 to 0.34, 0.960 at 0, 0.959 at 0.5.
    """

    mixed_share: float = 0.3
    """Share, 0..1, of another person from which a face between the two is nobody's; see `mixed_faces`.

    The same in both spaces: docs/decisions/0020-faces-of-nobody.md has what people's faces and mixtures come to.
    """
    fading_share: float = 0.4
    """So many times as many faces in no group around a group as in it, > 0, and it fades out; see `fading_groups`.

    People come to 0.27 at most, and blurred faces that resemble each other to 0.56 at least, which is among 100,000
    faces, and to 0.72 among fewer.
    """
    fading_least_faces: int = 10
    """Groups of fewer faces are not judged by that, ≥ 2."""

    def __post_init__(self) -> None:
        if not 0 < self.same_distance <= self.ceiling < self.stranger_distance:
            raise ValueError("Distances must rise: 0 < same_distance ≤ ceiling < stranger_distance.")
        if not 0 < self.merge_distance < self.stranger_distance:
            raise ValueError("merge_distance must lie between 0 and stranger_distance.")
        if not 1 <= self.min_samples <= self.neighbour_count + 1:
            raise ValueError("min_samples must lie between 1 and neighbour_count + 1.")
        if self.min_cluster_size < 2:
            raise ValueError("min_cluster_size must be at least 2.")
        if not 0 <= self.shared_photo_tolerance < 1:
            raise ValueError("shared_photo_tolerance must be at least 0 and below 1.")
        if not (0 <= self.sure_distance < self.stranger_distance and 0 < self.mixed_share <= 1):
            raise ValueError("sure_distance must lie below stranger_distance, and mixed_share between 0 and 1.")
        if not (self.fading_share > 0 and self.fading_least_faces >= 2):
            raise ValueError("fading_share must be above 0, and fading_least_faces at least 2.")


class UnknownModelError(LookupError):
    """No parameters are known for the face model; the message lists the models that are."""

    def __init__(self, model_id: str) -> None:
        super().__init__(
            f"No clustering parameters for face model {model_id!r}. Known models: {', '.join(KNOWN_MODELS)}."
        )
        self.model_id = model_id


_ARCFACE = Parameters(
    metric=Metric.COSINE,
    # Cosine 0.80, which two different pictures seldom reach; at 0.70 siblings no longer part (F1 0.955 against 0.970).
    same_distance=0.20,
    # Cosine 0.53. Over nine libraries of 3,000 faces, BCubed F1 is 0.975 at cosine 0.58, 0.978 at 0.565, 0.980 at 0.55
    # and 0.981 at 0.53, better in each of them; for the last two at 20,000 0.980 and 0.981, at 100,000 0.982 and 0.983.
    # At 0.50 precision falls (0.966 against 0.979), and a person with a stranger among their faces is a worse mistake
    # than one in two groups.
    ceiling=0.47,
    # Cosine 0.70. At 0.65 siblings merge (F1 0.964 against 0.970 at 0.70 and 0.75).
    merge_distance=0.30,
    # Cosine 0. Births there, and not at infinity, keep a component of two siblings divisible (F1 0.970 against 0.955).
    stranger_distance=1.00,
    sure_distance=0.30,
    # SCRFD's scores go from 0.5 to 0.9; below 0.65 are faces that are cut off, turned away or blurred. That a smaller
    # box than 40 pixels is enlarged almost threefold to the network's 112 is arithmetic; neither was measured on real
    # libraries, and the rule asks little of them: see `weak_below_score`.
    weak_below_score=0.65,
    weak_below_pixels=40.0,
)

_DLIB = Parameters(
    metric=Metric.EUCLIDEAN,
    # Above most versions of one picture (median 0.18), below the ceiling; a person's versions stay whole from 0.2 up.
    same_distance=0.25,
    # Above the farthest versions of one person (0.39), well below the nearest strangers (0.59).
    ceiling=0.45,
    # Half-way between the farthest centroids of one person (0.22) and the nearest of two (0.59).
    merge_distance=0.40,
    # The median of strangers is 0.78.
    stranger_distance=0.75,
    sure_distance=0.20,
    # Its detector finds no smaller faces than 40 pixels, and nothing is known of its scores: no face is weak.
)

# Patterns as of a shell; the first that fits an id decides.
_BY_MODEL = (
    ("dlib-resnet-v1", _DLIB),
    ("arcface-*", _ARCFACE),
    # A pack by its name, or by the digest of its recogniser; every recogniser that InsightFace publishes is an ArcFace.
    ("insightface:*", _ARCFACE),
    ("buffalo_l", _ARCFACE),
    ("antelopev2", _ARCFACE),
)

KNOWN_MODELS = tuple(pattern for pattern, _ in _BY_MODEL)
"""Ids of the face models that can be grouped; `*` stands for anything."""


def parameters_for(model_id: str) -> Parameters:
    """The parameters of a face model.

    Raises:
        UnknownModelError: if there are none for it: guessed distances would join strangers.
    """
    for pattern, parameters in _BY_MODEL:
        if fnmatchcase(model_id, pattern):
            return parameters
    raise UnknownModelError(model_id)
