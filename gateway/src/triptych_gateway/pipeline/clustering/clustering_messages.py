"""What is asked of a clusterer, and what it says, between messages and the catalogue's rows."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from sqlalchemy.ext.asyncio import AsyncConnection

from triptych.v1 import clusterer_pb2
from triptych_common.models.description import vector_to_bytes
from triptych_gateway.catalog.clustering import kept_graphs
from triptych_gateway.catalog.clustering.face_space import FaceVectors
from triptych_gateway.catalog.clustering.kept_graphs import KeptChange, KeptFace, KeptGraph, KeptGroup
from triptych_gateway.catalog.clustering.regrouping import NewGroup
from triptych_gateway.catalog.runs.history import Method
from triptych_gateway.pipeline.errors import PhaseFailedError

_ID_BYTES = 8
_DISTANCE_BYTES = 4


@dataclass
class Answer:
    """What a clusterer said: members of each group, the groups' cohesions, and what to keep."""

    members: dict[int, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    outliers: list[int] = field(default_factory=list)
    """Faces in no group."""
    summary: clusterer_pb2.ClusterSummary | None = None
    kept_faces: list[clusterer_pb2.KeptFaceBatch] = field(default_factory=list)
    kept_groups: list[clusterer_pb2.KeptGroupBatch] = field(default_factory=list)
    gone_face_ids: list[int] = field(default_factory=list)
    gone_group_marks: list[int] = field(default_factory=list)

    def take(self, message: clusterer_pb2.ClusterFacesResponse) -> None:
        """Take one message."""
        match message.WhichOneof("part"):
            case "assignments":
                part = message.assignments
                for face_id, group, probability in zip(part.face_ids, part.groups, part.probabilities, strict=True):
                    if group >= 0:
                        self.members[group].append((face_id, probability))
                    else:
                        self.outliers.append(face_id)
            case "kept_faces":
                self.kept_faces.append(message.kept_faces)
            case "kept_groups":
                self.kept_groups.append(message.kept_groups)
            case "gone":
                self.gone_face_ids += message.gone.face_ids
                self.gone_group_marks += message.gone.group_marks
            case "summary":
                self.summary = message.summary

    def groups(self) -> list[NewGroup]:
        """The groups, in the order of their numbers. Raises PhaseFailedError for an answer cut short."""
        if self.summary is None:
            raise PhaseFailedError("clustering_incomplete", "The clusterer ended without a summary.")
        found = []
        for number, group in enumerate(self.summary.groups):
            members = self.members.get(number, [])
            if len(members) != group.face_count:
                raise PhaseFailedError("clustering_incomplete", "The clusterer's answer does not match its summary.")
            found.append(
                NewGroup(
                    face_ids=[face_id for face_id, _ in members],
                    probabilities=[probability for _, probability in members],
                    cohesion=group.cohesion,
                )
            )
        return found

    def method(self) -> Method:
        """How it was done."""
        is_incremental = self.summary is not None and self.summary.method == clusterer_pb2.CLUSTER_METHOD_INCREMENTAL
        return "incremental" if is_incremental else "full"

    def change(self, former: KeptGraph | None) -> KeptChange | None:
        """What is to be kept, where ``former`` was sent; None where what is kept stays as it is."""
        if self.summary is None or not self.summary.HasField("kept"):
            return None
        kept = self.summary.kept
        return KeptChange(
            former=former if self.method() == "incremental" else None,
            version=kept.version,
            face_count=kept.face_count,
            group_count=kept.group_count,
            most_new_faces=kept.most_new_faces,
            faces=map(_faces_of, self.kept_faces),
            groups=map(_groups_of, self.kept_groups),
            gone_face_ids=self.gone_face_ids,
            gone_group_marks=self.gone_group_marks,
        )


def kept_header(graph: KeptGraph) -> clusterer_pb2.KeptHeader:
    """What of a graph will be sent."""
    return clusterer_pb2.KeptHeader(version=graph.version, face_count=graph.face_count, group_count=graph.group_count)


def faces_message(batch: FaceVectors) -> clusterer_pb2.ClusterFacesRequest:
    """Some faces."""
    request = clusterer_pb2.ClusterFacesRequest()
    # In place: a message that is given another as a part copies it, here megabytes.
    faces = request.faces
    faces.face_ids.extend(batch.face_ids.tolist())
    faces.photo_ids.extend(batch.photo_ids.tolist())
    faces.scores.extend(batch.scores.tolist())
    faces.sizes.extend(batch.sizes.tolist())
    faces.vectors = vector_to_bytes(batch.vectors)
    return request


async def kept_messages(
    connection: AsyncConnection, graph: KeptGraph
) -> AsyncIterator[clusterer_pb2.ClusterFacesRequest]:
    """All that is kept in a graph."""
    async for faces in kept_graphs.read_faces(connection, graph):
        yield clusterer_pb2.ClusterFacesRequest(
            kept_faces=clusterer_pb2.KeptFaceBatch(
                neighbours=_lists(
                    [row.face_id for row in faces],
                    [row.neighbour_ids for row in faces],
                    [row.distances for row in faces],
                ),
                components=[row.component for row in faces],
                component_marks=[row.component_mark for row in faces],
                groups=[row.dense_group for row in faces],
                probabilities=[row.probability for row in faces],
            )
        )
    async for groups in kept_graphs.read_groups(connection, graph):
        yield clusterer_pb2.ClusterFacesRequest(
            kept_groups=clusterer_pb2.KeptGroupBatch(
                neighbours=_lists(
                    [row.mark for row in groups],
                    [row.neighbour_marks for row in groups],
                    [row.distances for row in groups],
                )
            )
        )


def _lists(
    ids: Sequence[int], neighbour_ids: Sequence[bytes], distances: Sequence[bytes]
) -> clusterer_pb2.NeighbourLists:
    return clusterer_pb2.NeighbourLists(
        ids=ids,
        counts=[len(one) // _ID_BYTES for one in neighbour_ids],
        neighbour_ids=b"".join(neighbour_ids),
        distances=b"".join(distances),
    )


def _faces_of(batch: clusterer_pb2.KeptFaceBatch) -> list[KeptFace]:
    return [
        KeptFace(*lists, component, mark, group, probability)
        for lists, component, mark, group, probability in zip(
            _rows(batch.neighbours),
            batch.components,
            batch.component_marks,
            batch.groups,
            batch.probabilities,
            strict=True,
        )
    ]


def _groups_of(batch: clusterer_pb2.KeptGroupBatch) -> list[KeptGroup]:
    return [KeptGroup(*lists) for lists in _rows(batch.neighbours)]


def _rows(lists: clusterer_pb2.NeighbourLists) -> Iterator[tuple[int, bytes, bytes]]:
    """Id, neighbours and distances of each."""
    for one, (begin, end) in zip(lists.ids, pairwise(accumulate(lists.counts, initial=0)), strict=True):
        yield (
            one,
            lists.neighbour_ids[_ID_BYTES * begin : _ID_BYTES * end],
            lists.distances[_DISTANCE_BYTES * begin : _DISTANCE_BYTES * end],
        )
