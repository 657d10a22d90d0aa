"""What a clustering leaves for the next: written as what changed, whole or not at all, and forgotten with its model."""

from collections.abc import Sequence

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.catalogue import FACES, table
from tests.support.people import library, regroup
from triptych_gateway.catalog.clustering import face_space, kept_graphs
from triptych_gateway.catalog.clustering.kept_graphs import KeptChange, KeptFace, KeptGraph, KeptGroup


def face(face_id: int, *neighbours: int, group: int = -1) -> KeptFace:
    return KeptFace(
        face_id=face_id,
        neighbour_ids=b"".join(one.to_bytes(8, "little") for one in neighbours),
        distances=b"\0\0\0\x3f" * len(neighbours),
        component=1,
        component_mark=-(2**63),
        dense_group=group,
        probability=0.5,
    )


def change(
    faces: Sequence[KeptFace],
    groups: Sequence[KeptGroup] = (),
    *,
    former: KeptGraph | None = None,
    gone: Sequence[int] = (),
    gone_groups: Sequence[int] = (),
) -> KeptChange:
    """In batches of two."""
    return KeptChange(
        former=former,
        version="1",
        face_count=7,
        group_count=2,
        most_new_faces=3,
        faces=[faces[start : start + 2] for start in range(0, len(faces), 2)],
        groups=[groups],
        gone_face_ids=gone,
        gone_group_marks=gone_groups,
    )


async def kept(connection: AsyncConnection) -> KeptGraph:
    found = await kept_graphs.find(connection, model_id=FACES)
    assert found is not None
    return found


async def rows(connection: AsyncConnection, graph: KeptGraph) -> list[KeptFace]:
    return [row async for batch in kept_graphs.read_faces(connection, graph) for row in batch]


async def writers(connection: AsyncConnection) -> dict[int, str]:
    """Which transaction wrote what is kept of each face."""
    return dict(await table(connection, "SELECT face_id, xmin::text FROM kept_faces"))


async def write(engine: AsyncEngine, one: KeptChange) -> bool:
    async with engine.begin() as connection:
        return await kept_graphs.write(connection, one, model_id=FACES)


async def test_what_is_kept_is_read_as_it_was_written(engine: AsyncEngine) -> None:
    faces = [face(number, number + 1, number + 2) for number in range(5)]
    groups = [KeptGroup(2**63 - 1, b"12345678", b"abcd"), KeptGroup(0, b"", b"")]

    assert await write(engine, change(faces, groups))

    async with engine.connect() as connection:
        graph = await kept(connection)
        assert (graph.version, graph.revision, graph.face_count, graph.group_count) == ("1", 1, 7, 2)
        assert await rows(connection, graph) == faces
        read = [row async for batch in kept_graphs.read_groups(connection, graph) for row in batch]
        assert read == sorted(groups)


async def test_only_what_changed_is_written(engine: AsyncEngine) -> None:
    await write(engine, change([face(number) for number in range(6)], [KeptGroup(1, b"", b""), KeptGroup(2, b"", b"")]))
    async with engine.connect() as connection:
        former, before = await kept(connection), await writers(connection)

    changed = change([face(1, 6), face(6, 1)], [KeptGroup(3, b"", b"")], former=former, gone=[4, 99], gone_groups=[1])
    assert await write(engine, changed)

    async with engine.connect() as connection:
        graph, after = await kept(connection), await writers(connection)
        assert (graph.id, graph.revision) == (former.id, 2)
        assert await rows(connection, graph) == [face(0), face(1, 6), face(2), face(3), face(5), face(6, 1)]
        assert {one for one in before if after.get(one) == before[one]} == {0, 2, 3, 5}
        assert await table(connection, "SELECT mark FROM kept_groups ORDER BY 1") == [(2,), (3,)]


async def test_one_that_stands_alone_replaces_what_was_kept(engine: AsyncEngine) -> None:
    await write(engine, change([face(1), face(2)], [KeptGroup(1, b"", b"")]))

    await write(engine, change([face(3)]))

    async with engine.connect() as connection:
        assert await rows(connection, await kept(connection)) == [face(3)]
        assert await table(connection, "SELECT count(*) FROM kept_groups") == [(0,)]


async def test_a_transaction_that_ends_badly_leaves_it_whole(engine: AsyncEngine) -> None:
    await write(engine, change([face(1), face(2)]))
    async with engine.connect() as connection:
        former = await kept(connection)

    for one in (change([face(1, 3), face(3)], former=former), change([face(9)])):
        with pytest.raises(RuntimeError, match="lost"):
            async with engine.begin() as connection:
                await kept_graphs.write(connection, one, model_id=FACES)
                raise RuntimeError("the gateway is lost")

    async with engine.connect() as connection:
        assert await kept(connection) == former
        assert await rows(connection, former) == [face(1), face(2)]


async def test_a_change_to_what_is_no_longer_there_makes_all_forgotten(engine: AsyncEngine) -> None:
    """As where a gateway lost the lock, and another one clustered meanwhile."""
    await write(engine, change([face(1), face(2)]))
    async with engine.connect() as connection:
        seen = await kept(connection)
    assert await write(engine, change([face(3)], former=seen))

    assert not await write(engine, change([face(4)], former=seen))

    async with engine.connect() as connection:
        assert await kept_graphs.find(connection, model_id=FACES) is None
        assert await table(connection, "SELECT count(*) FROM kept_faces") == [(0,)]


async def test_how_many_faces_of_the_space_are_in_it(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        _, ids = await library(connection, [2, 1])
        await kept_graphs.write(connection, change([face(one) for one in [*ids[:2], 10**9]]), model_id=FACES)
        graph = await kept(connection)
        assert await face_space.count_kept(connection, graph_id=graph.id, model_id=FACES) == 2

        await connection.execute(text("UPDATE assets SET missing_at = now() WHERE path = '/photos/000'"))
        assert await face_space.count_kept(connection, graph_id=graph.id, model_id=FACES) == 0


async def test_it_is_forgotten_with_the_last_clustering_of_its_model(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [1, 1])
        await regroup(connection, session_id, ids)
        await kept_graphs.write(connection, change([face(one) for one in ids]), model_id=FACES)
        await kept_graphs.forget_unused(connection)
        assert await kept_graphs.find(connection, model_id=FACES) is not None

        other_id, others = await library(connection, [1, 1], model_id="other-faces/1")
        await regroup(connection, other_id, others, model_id="other-faces/1")
        await kept_graphs.forget_unused(connection)

        assert await kept_graphs.find(connection, model_id=FACES) is None
        assert await table(connection, "SELECT count(*) FROM kept_faces") == [(0,)]
