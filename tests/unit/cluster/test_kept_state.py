"""What a run leaves for the next: on its way through messages, as what changed of it, and under which version."""

import dataclasses
from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.cluster.synthetic_faces import generate
from triptych.v1 import clusterer_pb2
from triptych_cluster.choosing import choose
from triptych_cluster.clustering import Faces
from triptych_cluster.kept.changes import KeptChanges, all_of, changes, first_marks
from triptych_cluster.kept.graph import KeptGraph
from triptych_cluster.kept.incremental import KeptGrouping, cluster_increment, cluster_to_keep
from triptych_cluster.kept.state import KeptFaces
from triptych_cluster.kept.version import kept_version
from triptych_cluster.kept.wire import ROWS_PER_MESSAGE, ReadKept, kept_messages
from triptych_cluster.parameters import parameters_for
from triptych_common.errors import InvalidRequestError

ARCFACE = parameters_for("arcface-r50")
SIZE = 600
IDS = 5000 + 3 * np.random.default_rng(8).permutation(SIZE)
Message = clusterer_pb2.ClusterFacesResponse


@pytest.fixture(scope="module")
def library() -> Faces:
    embeddings, _ = generate(SIZE, 12)
    return Faces(embeddings=embeddings, photo_ids=np.arange(SIZE), scores=np.ones(SIZE, np.float32))


@pytest.fixture(scope="module")
def first(library: Faces) -> KeptGrouping:
    """Of all but the last 20."""
    return cluster_to_keep(part(library, slice(0, SIZE - 20)), IDS[:-20], ARCFACE)


@pytest.fixture(scope="module")
def second(library: Faces, first: KeptGrouping) -> KeptGrouping:
    """Without the first 10, with the last 20."""
    return cluster_increment(part(library, slice(10, SIZE)), first.kept.of(IDS[10:]), ARCFACE)


def part(faces: Faces, which: slice) -> Faces:
    return Faces(embeddings=faces.embeddings[which], photo_ids=faces.photo_ids[which], scores=faces.scores[which])


def read(messages: Iterable[Message], *, most: int = 10 * SIZE) -> KeptFaces:
    """What arrives, as messages that the caller has kept and sends back."""
    reading = ReadKept(clusterer_pb2.KeptHeader(face_count=most, group_count=most), neighbour_count=16)
    for message in messages:
        match message.WhichOneof("part"):
            case "kept_faces":
                reading.add_faces(message.kept_faces)
            case "kept_groups":
                reading.add_groups(message.kept_groups)
    return reading.state()


def graph_rows(kept: KeptGraph) -> dict[int, tuple[tuple[int, ...], tuple[float, ...]]]:
    """Each id's neighbours and their distances."""
    ids, distances = kept.neighbour_ids(slice(None)), kept.graph.distances
    return {
        one: (tuple(ids[row].tolist()), tuple(np.round(distances[row], 4).tolist()))
        for row, one in enumerate(kept.ids.tolist())
    }


def rows(kept: KeptFaces) -> dict[int, tuple[object, ...]]:
    """All that is known of each face."""
    columns = (kept.components, first_marks(kept), kept.groups, np.round(kept.probabilities, 4))
    lists = graph_rows(kept.faces)
    return {
        one: (lists[one], *values)
        for one, *values in zip(kept.faces.ids.tolist(), *(column.tolist() for column in columns), strict=True)
    }


def applied(former: KeptFaces, changed: KeptChanges) -> tuple[dict[int, object], dict[int, object]]:
    """What a caller has after it wrote what changed: of faces, and of groups."""
    faces: dict[int, object] = dict(rows(former))
    groups: dict[int, object] = dict(graph_rows(former.near_groups))
    latest, latest_groups = rows(changed.latest), graph_rows(changed.latest.near_groups)
    for message in kept_messages(changed):
        faces.update({one: latest[one] for one in message.kept_faces.neighbours.ids})
        groups.update({one: latest_groups[one] for one in message.kept_groups.neighbours.ids})
        for one in message.gone.face_ids:
            del faces[one]
        for one in message.gone.group_marks:
            del groups[one]
    return faces, groups


def test_what_is_sent_and_sent_back_is_the_same(first: KeptGrouping) -> None:
    back = read(kept_messages(all_of(first.kept)))

    assert rows(back) == rows(first.kept)
    assert graph_rows(back.near_groups) == graph_rows(first.kept.near_groups)
    np.testing.assert_array_equal(back.marks, first.kept.marks)
    assert back.faces.is_complete.all() and not back.faces.is_new.any()


def test_who_writes_what_changed_has_what_is_to_be_kept(first: KeptGrouping, second: KeptGrouping) -> None:
    changed = changes(first.kept, second.kept)

    faces, groups = applied(first.kept, changed)

    assert faces == rows(second.kept)
    assert groups == graph_rows(second.kept.near_groups)
    former, latest = rows(first.kept), rows(second.kept)
    really = {one for one, row in latest.items() if former.get(one) != row}
    assert {int(second.kept.faces.ids[row]) for row in changed.face_rows} == really
    assert 0 < len(really) < SIZE / 2
    assert set(changed.gone_faces) == set(IDS[:10])


def test_where_nothing_changed_nothing_is_written(library: Faces, first: KeptGrouping) -> None:
    order = np.random.default_rng(3).permutation(SIZE - 20)
    faces = Faces(
        embeddings=library.embeddings[order], photo_ids=library.photo_ids[order], scores=library.scores[order]
    )
    back = read(kept_messages(all_of(first.kept)))

    again = cluster_increment(faces, back.of(IDS[:-20][order]), ARCFACE)

    assert list(kept_messages(changes(back, again.kept))) == []


def test_a_component_of_many_faces_that_gains_one_has_one_other_mark() -> None:
    """On a ring, each face near to the next ones only: all are one component."""
    angles = np.arange(0, 360, 4.0)
    ring = np.column_stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))]).astype(np.float32)
    faces = Faces(embeddings=ring, photo_ids=np.arange(90), scores=np.ones(90, np.float32))
    former = cluster_to_keep(part(faces, slice(0, 89)), np.arange(89), ARCFACE).kept

    latest = cluster_increment(faces, former.of(np.arange(90)), ARCFACE).kept

    assert set(latest.components) == {0}
    assert np.count_nonzero(first_marks(latest)[:89] != first_marks(former)) == 1


def test_messages_are_bounded(first: KeptGrouping) -> None:
    count = 2 * ROWS_PER_MESSAGE + 1
    many = KeptFaces.nothing(np.arange(count), neighbour_count=16)

    messages = list(kept_messages(all_of(many)))

    assert [len(message.kept_faces.neighbours.ids) for message in messages] == [ROWS_PER_MESSAGE, ROWS_PER_MESSAGE, 1]
    assert len(read(messages, most=count).faces.ids) == count


def test_a_component_whose_first_face_is_gone_has_changed(first: KeptGrouping) -> None:
    kept = first.kept
    sizes = np.unique(kept.components, return_counts=True)
    component = int(sizes[0][sizes[1].argmax()])
    without = np.flatnonzero(kept.faces.ids != component)
    changed = dataclasses.replace(all_of(kept), face_rows=without)

    back = read(kept_messages(changed))

    known = back.of(kept.faces.ids)
    members = kept.components == component
    assert not known.marks[members].any()
    np.testing.assert_array_equal(known.marks[~members], kept.marks[~members])
    assert known.faces.is_new.sum() == 1


def broken(message: Message) -> list[Message]:
    """The message with each of its lists spoilt, once."""
    spoilt = [Message.FromString(message.SerializeToString()) for _ in range(6)]
    faces = [one.kept_faces for one in spoilt]
    del faces[0].components[0]
    del faces[1].probabilities[0]
    faces[2].neighbours.counts[0] = 17
    faces[3].neighbours.neighbour_ids = faces[3].neighbours.neighbour_ids[:-8]
    faces[4].neighbours.distances = b"\xff" * len(faces[4].neighbours.distances)
    faces[5].neighbours.ids[1] = faces[5].neighbours.ids[0]
    return spoilt


def test_what_cannot_be_read_is_refused(first: KeptGrouping) -> None:
    message = next(kept_messages(all_of(first.kept)))
    for spoilt in broken(message):
        with pytest.raises(InvalidRequestError) as refusal:
            read([spoilt])
        assert refusal.value.reason == "BAD_KEPT"
    with pytest.raises(InvalidRequestError, match="more came"):
        read([message], most=5)


def test_anew_where_nothing_was_kept_or_too_much_is_new(first: KeptGrouping) -> None:
    few: NDArray[np.int64] = np.concatenate([IDS[:-20], np.arange(10)])
    many: NDArray[np.int64] = np.concatenate([IDS[:-20], np.arange(1000)])

    assert choose(first.kept, few).known is not None
    assert choose(first.kept, few).reason == ""
    nothing, too_many = choose(None, few), choose(first.kept, many)
    assert (nothing.known, too_many.known) == (None, None)
    assert "nothing was kept" in nothing.reason
    assert "1,000 of 1,580 faces" in too_many.reason


def test_every_parameter_makes_another_version() -> None:
    version = kept_version(ARCFACE, model_id="arcface-r50", dimension=512)
    changed = [
        dataclasses.replace(ARCFACE, ceiling=ARCFACE.ceiling + 0.01),
        dataclasses.replace(ARCFACE, merge_distance=ARCFACE.merge_distance + 0.01),
        dataclasses.replace(ARCFACE, neighbour_count=ARCFACE.neighbour_count + 1),
        dataclasses.replace(ARCFACE, weak_below_pixels=ARCFACE.weak_below_pixels + 1),
    ]
    others = [
        kept_version(ARCFACE, model_id="arcface-r100", dimension=512),
        kept_version(ARCFACE, model_id="arcface-r50", dimension=128),
        *(kept_version(one, model_id="arcface-r50", dimension=512) for one in changed),
    ]
    assert version == kept_version(ARCFACE, model_id="arcface-r50", dimension=512)
    assert len({version, *others}) == 1 + len(others)
