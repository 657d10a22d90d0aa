"""The catalogue on a real PostgreSQL: schema, sessions, leases, shards, outcomes, groups and the outbox."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from triptych.v1 import progress_event_pb2
from triptych_common.errors import ConfigurationError
from triptych_gateway.catalog import faces, history, leases, lifecycle, photos, results, sessions, shards
from triptych_gateway.catalog.database import create_engine, is_away, migrate
from triptych_gateway.catalog.faces import NewGroup
from triptych_gateway.catalog.leases import Lease, LeaseLostError
from triptych_gateway.catalog.lifecycle import Run
from triptych_gateway.catalog.photos import FoundPhoto
from triptych_gateway.catalog.results import FoundFace, Outcome, PhotoError, PhotoFacts
from triptych_gateway.catalog.schema import metadata
from triptych_gateway.catalog.sessions import NotAllowedError, NotFoundError
from triptych_gateway.catalog.shards import ShardItem

MODEL = "clip/1"
FACES = "faces/1"
DIMENSION = 4
WEIGHTS = {"training": 0.30, "face_detection": 0.65, "clustering": 0.05}


async def new_session(connection: AsyncConnection, *, paths: Sequence[bytes] = (), shard_size: int = 2) -> int:
    """A session in which these photos were found."""
    session_id = await sessions.create_session(
        connection,
        name="n",
        root_path=b"/photos",
        subdirectories=[],
        config={},
        weights=WEIGHTS,
        category_id=None,
        shard_size=shard_size,
    )
    if paths:
        await photos.add_photos(connection, session_id, [found(path) for path in paths])
    return session_id


def found(path: bytes, *, size: int = 10, modified: int = 1) -> FoundPhoto:
    return FoundPhoto(path=path, size_bytes=size, modified_ns=modified)


async def begin(connection: AsyncConnection, session_id: int, phase: str = "training", *, model: str = MODEL) -> Run:
    """Assign the photos of a phase's latest run, as the pipeline does."""
    run = (await lifecycle.latest_runs(connection, session_id))[phase]
    total, skipped = await shards.assign_items(connection, run, model_id=model)
    return await lifecycle.update_run(connection, run.id, status="running", total=total, skipped=skipped)


async def items_of(connection: AsyncConnection, run: Run) -> list[ShardItem]:
    unfinished = await shards.unfinished_shards(connection, run)
    return [item for one in unfinished for item in (await shards.load_shard(connection, run, one)).items]


def embedded(item: ShardItem, value: float = 1.0) -> Outcome:
    return Outcome(
        item=item,
        result=np.full(DIMENSION, value, np.float32),
        facts=PhotoFacts(content_sha256=b"\1" * 32, width=640, height=480, taken_at="2026-01-12T10:00:00"),
        processing_microseconds=1500,
    )


def detected(item: ShardItem, *values: float) -> Outcome:
    """A face for each value."""
    made = tuple(
        FoundFace(
            x=0.1,
            y=0.2,
            width=0.3,
            height=0.4,
            landmarks=((0.1, 0.1),) * 5,
            score=0.9,
            embedding=np.full(DIMENSION, value, np.float32),
        )
        for value in values
    )
    return Outcome(item=item, result=made, facts=None, processing_microseconds=10)


def broken(item: ShardItem, message: str = "The picture is damaged.") -> Outcome:
    return Outcome(item=item, result=PhotoError(code="corrupt", message=message), facts=None, processing_microseconds=5)


async def table(connection: AsyncConnection, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await connection.execute(text(query), parameters)]


# --- schema


async def test_an_empty_database_is_brought_to_the_schema_that_the_code_describes(empty_database_url: str) -> None:
    await migrate(empty_database_url)
    await migrate(empty_database_url)

    def differences(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    engine = create_engine(empty_database_url)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_two_processes_may_migrate_at_once(empty_database_url: str) -> None:
    program = (
        "import asyncio, sys; from triptych_gateway.catalog.database import migrate; asyncio.run(migrate(sys.argv[1]))"
    )

    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, empty_database_url) for _ in range(2)
    ]

    assert [await process.wait() for process in processes] == [0, 0]


@pytest.mark.parametrize("url", ["mysql://host/name", "sqlite:///file", "nonsense", ""])
def test_a_url_of_another_kind_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        create_engine(url)


async def test_a_refused_statement_is_not_taken_for_a_lost_database(engine: AsyncEngine) -> None:
    for statement, parameters in (
        ("SELECT nonsense", {}),
        ("INSERT INTO categories (name) VALUES (:name), (:name)", {"name": "twice"}),
        ("SELECT CAST(:text AS text)", {"text": "\0"}),
        ("SELECT CAST(:number AS bigint)", {"number": 2**70}),
        ("SELECT 1 / 0", {}),
    ):
        async with engine.connect() as connection:
            with pytest.raises(DBAPIError) as raised:
                await connection.execute(text(statement), parameters)
            assert not is_away(raised.value), statement


async def test_a_lost_connection_is_a_lost_database(engine: AsyncEngine) -> None:
    async with engine.connect() as lost, engine.connect() as other:
        number = (await table(lost, "SELECT pg_backend_pid()"))[0][0]
        await other.execute(text("SELECT pg_terminate_backend(:number)"), {"number": number})
        with pytest.raises(DBAPIError) as raised:
            await lost.execute(text("SELECT 1"))

    assert is_away(raised.value)
    assert is_away(ConnectionRefusedError())
    assert not is_away(KeyError("x"))


# --- sessions


async def test_a_new_session_has_a_pending_run_of_each_phase(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        runs = await lifecycle.latest_runs(connection, session_id)

    assert {phase: (run.number, str(run.status), run.generation) for phase, run in runs.items()} == dict.fromkeys(
        sessions.PHASES, (1, "pending", 1)
    )


async def test_an_unknown_session_is_not_found(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        with pytest.raises(NotFoundError):
            await sessions.get_session(connection, 1)
        with pytest.raises(NotFoundError):
            await sessions.start_session(connection, 1)


@pytest.mark.parametrize("status", ["pending", "running", "paused", "cancelled", "failed"])
async def test_start_leads_to_running(engine: AsyncEngine, status: str) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        await connection.execute(
            text("UPDATE sessions SET status = :status, error_code = 'x', paused_at = now()"), {"status": status}
        )

        assert await sessions.start_session(connection, session_id) == "running"
        session = await sessions.get_session(connection, session_id)

    assert session.status == "running"
    if status != "running":
        assert (session.error_code, session.paused_at, session.completed_at) == (None, None, None)
        assert session.started_at is not None


async def test_starting_an_old_session_gives_it_the_runs_that_it_lacks(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        await connection.execute(text("UPDATE sessions SET status = 'cancelled'"))
        await connection.execute(text("DELETE FROM runs WHERE phase <> 'training'"))

        await sessions.start_session(connection, session_id)
        runs = await lifecycle.latest_runs(connection, session_id)

    assert {phase: (run.number, str(run.status)) for phase, run in runs.items()} == dict.fromkeys(
        sessions.PHASES, (1, "pending")
    )


async def test_a_completed_session_cannot_be_started(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        await sessions.end_session(connection, session_id, status="completed")

        with pytest.raises(NotAllowedError) as refused:
            await sessions.start_session(connection, session_id)

    assert refused.value.status == "completed"


async def test_two_starts_at_once_announce_once(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)

    async def start() -> str:
        async with engine.begin() as connection:
            return await sessions.start_session(connection, session_id)

    assert list(await asyncio.gather(start(), start(), start())) == ["running"] * 3
    async with engine.connect() as connection:
        assert await table(connection, "SELECT count(*) FROM outbox") == [(len(sessions.PHASES),)]


async def test_starting_a_failed_session_renews_the_failed_phase_and_keeps_the_bar(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/a", b"/photos/b", b"/photos/c", b"/photos/d"])
        run = await begin(connection, session_id)
        one, two, *_ = await items_of(connection, run)
        await results.write_outcomes(connection, run, [embedded(one), broken(two)], model_id=MODEL)
        await lifecycle.update_run(connection, run.id, status="failed", error_code="x", error_message="X.")
        await sessions.end_session(connection, session_id, status="failed", error_code="x", error_message="X.")

        await sessions.start_session(connection, session_id)
        runs = await lifecycle.latest_runs(connection, session_id)
        again = await begin(connection, session_id)

    assert {phase: one.number for phase, one in runs.items()} == {"training": 2, "face_detection": 1, "clustering": 1}
    assert (runs["training"].status, runs["training"].total, runs["training"].skipped) == ("pending", 4, 1)
    assert (again.total, again.skipped, again.failed) == (4, 1, 0)


async def test_the_revision_of_a_session_grows_with_every_change_in_one_transaction_and_across(
    engine: AsyncEngine,
) -> None:
    moments = []
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        await connection.execute(text("UPDATE sessions SET updated_at = now() + interval '1 hour'"))
        for _ in range(3):
            await lifecycle.announce_all(connection, session_id)
            moments.append((await sessions.get_session(connection, session_id)).updated_at)
    async with engine.begin() as connection:
        await sessions.mark_discovered(connection, session_id)
        moments.append((await sessions.get_session(connection, session_id)).updated_at)

    assert moments == sorted(set(moments))


async def test_sessions_are_listed_by_the_status_that_is_shown(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        looking, working, waiting = [await new_session(connection) for _ in range(3)]
        for session_id in (looking, working):
            await sessions.start_session(connection, session_id)
        await sessions.mark_discovered(connection, working)

        async def ids(status: str | None) -> list[int]:
            listed, total = await sessions.list_sessions(connection, offset=0, limit=10, status=status)
            assert total == len(listed)
            return [one.id for one in listed]

        assert await ids("discovering") == [looking]
        assert await ids("running") == [working]
        assert await ids("pending") == [waiting]
        assert await ids(None) == [waiting, working, looking]


# --- leases


async def test_a_lease_is_held_by_one_and_taken_over_once_it_has_lapsed(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        assert await leases.claim(connection, holder="a") is None, "a session that is not running is nobody's work"
        await sessions.start_session(connection, session_id)
        first = await leases.claim(connection, holder="a")
    assert first == Lease(session_id=session_id, holder="a", epoch=1)

    async with engine.begin() as connection:
        assert await leases.claim(connection, holder="a", running={session_id}) is None
        assert await leases.claim(connection, holder="b") is None, "it was renewed just now"
        await leases.renew(connection, first)
        await connection.execute(text("UPDATE leases SET expires_at = now() - interval '1 second'"))

    async with engine.begin() as connection:
        with pytest.raises(LeaseLostError):
            await leases.renew(connection, first)
        with pytest.raises(LeaseLostError):
            await leases.check(connection, first)
        second = await leases.claim(connection, holder="b")

    assert second == Lease(session_id=session_id, holder="b", epoch=2)
    async with engine.begin() as connection:
        await leases.check(connection, second)
        with pytest.raises(LeaseLostError):
            await leases.check(connection, replace(first, holder="b"))
        await leases.release(connection, first)
        await leases.check(connection, second)
        await leases.release(connection, second)
    async with engine.begin() as connection:
        third = await leases.claim(connection, holder="a")
    assert third is not None
    assert third.epoch == 3


async def test_of_many_claims_at_once_each_session_goes_to_one(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        started = [await new_session(connection) for _ in range(3)]
        for session_id in started:
            await sessions.start_session(connection, session_id)

    async def claim(holder: str) -> Lease | None:
        async with engine.begin() as connection:
            return await leases.claim(connection, holder=holder)

    taken: list[Lease] = []
    while len(taken) < len(started):
        taken += [one for one in await asyncio.gather(*(claim(f"h{n}") for n in range(6))) if one is not None]

    assert sorted(lease.session_id for lease in taken) == started
    assert {lease.epoch for lease in taken} == {1}


async def test_nobody_takes_a_lease_over_while_a_checked_write_is_not_committed(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        await sessions.start_session(connection, session_id)
        lease = await leases.claim(connection, holder="a")
    assert lease is not None

    async def take_over() -> Lease | None:
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE leases SET expires_at = now()"))
            return await leases.claim(connection, holder="b")

    async with engine.begin() as writing, engine.connect() as watching:
        await leases.check(writing, lease)
        taking = asyncio.create_task(take_over())
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        async with asyncio.timeout(60):
            while (await table(watching, waits)) == [(0,)]:  # noqa: ASYNC110 - only PostgreSQL knows who waits
                await asyncio.sleep(0.01)
        await writing.execute(text("UPDATE sessions SET name = 'written'"))

    later = await taking
    assert later is not None
    assert later.epoch == 2


# --- shards and outcomes


async def test_photos_get_dense_ordinals_and_shards_are_ranges_of_them(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/%d" % n for n in range(5)], shard_size=2)
        run = await begin(connection, session_id)

        assert (run.total, run.skipped) == (5, 0)
        assert await shards.unfinished_shards(connection, run) == [0, 1, 2]
        loaded = [await shards.load_shard(connection, run, ordinal) for ordinal in (0, 1, 2)]
        assert [[item.ordinal for item in shard.items] for shard in loaded] == [[0, 1], [2, 3], [4]]
        assert [shard.size for shard in await shards.shard_counts(connection, run)] == [2, 2, 1]
        assert [item.path for item in await items_of(connection, run)] == [b"/photos/%d" % n for n in range(5)]


async def test_writing_outcomes_again_changes_nothing(engine: AsyncEngine) -> None:
    everything = "SELECT * FROM embeddings, run_items ORDER BY 1, 2, 3, 4"
    counters = "SELECT done, failed, found FROM runs WHERE phase = 'training'"
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/a", b"/photos/b", b"/photos/c"])
        run = await begin(connection, session_id)
        one, two, three = await items_of(connection, run)
        await results.write_outcomes(connection, run, [embedded(one), broken(two)], model_id=MODEL)
        jobs = await table(connection, "SELECT * FROM session_assets ORDER BY id")
        before = str(await table(connection, everything))
        assert await table(connection, counters) == [(1, 1, 0)]

        # The same, the other way round, and a photo twice in one message.
        await results.write_outcomes(connection, run, [embedded(one), broken(two)], model_id=MODEL)
        await results.write_outcomes(connection, run, [broken(one), embedded(two, 9.0)], model_id=MODEL)
        assert str(await table(connection, everything)) == before
        assert await table(connection, "SELECT * FROM session_assets ORDER BY id") == jobs
        assert await table(connection, counters) == [(1, 1, 0)]

        await results.write_outcomes(connection, run, [embedded(three), embedded(three)], model_id=MODEL)
        assert await table(connection, counters) == [(2, 1, 0)]
        assert await shards.unfinished_shards(connection, run) == []
        await results.write_outcomes(connection, run, [], model_id=MODEL)


async def test_two_writers_of_the_same_outcomes_at_once_count_them_once(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/a", b"/photos/b"])
        run = await begin(connection, session_id)
        items = await items_of(connection, run)

    async def write() -> None:
        async with engine.begin() as connection:
            await results.write_outcomes(connection, run, [embedded(item) for item in items], model_id=MODEL)

    await asyncio.gather(write(), write())
    async with engine.connect() as connection:
        assert await table(connection, "SELECT done, failed FROM runs WHERE phase = 'training'") == [(2, 0)]
        assert await photos.count_jobs(connection, session_id) == {"completed": 2}


async def test_facts_errors_and_times_of_photos_are_kept(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/a", b"/photos/b"])
        run = await begin(connection, session_id)
        one, two = await items_of(connection, run)
        await results.write_outcomes(connection, run, [embedded(one), broken(two, "It says \0.")], model_id=MODEL)

        asset = await photos.get_asset(connection, one.asset_id)
        jobs, total = await photos.list_jobs(connection, session_id, offset=0, limit=10, status=None)
        failed, failed_total = await photos.list_jobs(connection, session_id, offset=0, limit=10, status="failed")

    assert (asset.width, asset.height, asset.taken_at) == (640, 480, "2026-01-12T10:00:00")
    assert (total, failed_total, [job.status for job in jobs]) == (2, 1, ["completed", "failed"])
    assert jobs[0].processing_microseconds == 1500
    assert (failed[0].error_phase, failed[0].error_code, failed[0].error_message) == (
        *("training", "corrupt"),
        "It says \ufffd.",
    )


async def test_a_second_session_skips_what_is_embedded_and_a_changed_file_is_work_again(engine: AsyncEngine) -> None:
    paths = [b"/photos/a", b"/photos/b"]
    async with engine.begin() as connection:
        first = await begin(connection, await new_session(connection, paths=paths))
        done = [embedded(item) for item in await items_of(connection, first)]
        await results.write_outcomes(connection, first, done, model_id=MODEL)

        second = await new_session(connection, paths=paths)
        run = await begin(connection, second)
        assert (run.total, run.skipped, await items_of(connection, run)) == (2, 2, [])
        assert await photos.count_jobs(connection, second) == {"skipped": 2}

        third = await new_session(connection)
        await photos.add_photos(connection, third, [found(paths[0], modified=2), found(paths[1])])
        run = await begin(connection, third)
        assert (run.total, run.skipped) == (2, 1)
        changed = (await items_of(connection, run))[0]
        assert (changed.path, changed.asset_version) == (paths[0], 2)

        # Another model knows none of them.
        other = await begin(connection, await new_session(connection, paths=paths), model="clip/2")
        assert (other.total, other.skipped) == (2, 0)


async def test_photos_that_failed_are_tried_again_in_a_new_run(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/a", b"/photos/b"])
        run = await begin(connection, session_id)
        one, two = await items_of(connection, run)
        await results.write_outcomes(connection, run, [embedded(one), broken(two)], model_id=MODEL)
        await lifecycle.update_run(connection, run.id, status="failed")
        await lifecycle.renew_runs_from_failed(connection, session_id)

        again = await begin(connection, session_id)

        assert [item.path for item in await items_of(connection, again)] == [b"/photos/b"]
        assert await photos.count_jobs(connection, session_id) == {"completed": 1, "pending": 1}
        await results.write_outcomes(
            connection, again, [embedded(item) for item in await items_of(connection, again)], model_id=MODEL
        )
        assert await photos.count_jobs(connection, session_id) == {"completed": 2}
        assert await table(connection, "SELECT error_code FROM session_assets WHERE error_code IS NOT NULL") == []


async def test_discovery_that_begins_again_leaves_one_row_per_photo(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/\xff\n", b"/photos/b"])
        await photos.add_problems(connection, session_id, [photos.Problem(path=b"/x", code="not_found", message="m")])
        await photos.add_photos(connection, session_id, [found(b"/photos/b")])
        await photos.forget_discovery(connection, session_id)
        await photos.add_photos(connection, session_id, [found(b"/photos/\xff\n"), found(b"/photos/b")])

        jobs, total = await photos.list_jobs(connection, session_id, offset=0, limit=10, status=None)
        _, problems = await photos.list_problems(connection, session_id, offset=0, limit=10)
        versions = await table(connection, "SELECT DISTINCT version FROM assets")

    assert (total, problems, versions) == (2, 0, [(1,)])
    assert {job.path for job in jobs} == {b"/photos/\xff\n", b"/photos/b"}


# --- faces, groups and persons


async def with_faces(connection: AsyncConnection, values: Sequence[Sequence[float]]) -> tuple[int, list[int]]:
    """A session with a photo for each of `values`, a face in it for each value; returns it and the faces' ids."""
    session_id = await new_session(connection, paths=[b"/photos/%03d" % n for n in range(len(values))])
    run = await begin(connection, session_id, "face_detection", model=FACES)
    outcomes = [detected(item, *of) for item, of in zip(await items_of(connection, run), values, strict=True)]
    await results.write_outcomes(connection, run, outcomes, model_id=FACES)
    return session_id, [row[0] for row in await table(connection, "SELECT id FROM faces ORDER BY id")]


def group(*face_ids: int) -> NewGroup:
    return NewGroup(face_ids=face_ids, probabilities=[1.0 / (n + 1) for n in range(len(face_ids))], cohesion=0.8)


async def regroup(connection: AsyncConnection, session_id: int, *groups: NewGroup) -> list[tuple[int | None, int]]:
    """(person, faces) of the groups that are shown then, largest first."""
    await faces.replace_clustering(
        connection, session_id=session_id, model_id=FACES, parameters={"ceiling": 0.5}, face_count=9, groups=groups
    )
    listed, total = await faces.list_groups(connection, session_id=None, offset=0, limit=100)
    assert total == len(groups)
    return [(one.person_id, one.face_count) for one in listed]


async def test_the_space_holds_the_faces_of_present_versions_with_their_vectors(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await with_faces(connection, [[1.0, 2.0], [], [3.0]])
        run = (await lifecycle.latest_runs(connection, session_id))["face_detection"]
        assert (run.done, run.failed, run.found) == (3, 0, 3)
        batches = [batch async for batch in faces.read_space(connection, model_id=FACES, batch=2)]
        assert [batch.face_ids.tolist() for batch in batches] == [ids[:2], ids[2:]]
        assert np.concatenate([batch.vectors for batch in batches])[:, 0].tolist() == [1.0, 2.0, 3.0]
        assert batches[0].vectors.dtype == np.float32
        assert await faces.count_space(connection, model_id=FACES) == 3
        assert await faces.count_session_faces(connection, session_id, model_id=FACES) == 3

        await photos.add_photos(connection, session_id, [found(b"/photos/000", size=11)])
        assert await faces.count_space(connection, model_id=FACES) == 1, "what was found in the former file is void"


async def test_detecting_again_replaces_the_faces_of_a_photo(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, _ = await with_faces(connection, [[1.0, 2.0]])
        await photos.add_photos(connection, session_id, [found(b"/photos/000", size=11)])
        again = await begin(connection, await new_session(connection, paths=[]), "face_detection", model=FACES)
        assert again.total == 0
        third = await new_session(connection)
        await photos.add_photos(connection, third, [found(b"/photos/000", size=11)])
        run = await begin(connection, third, "face_detection", model=FACES)
        await results.write_outcomes(
            connection, run, [detected(item, 5.0) for item in await items_of(connection, run)], model_id=FACES
        )

        assert await faces.count_space(connection, model_id=FACES) == 1


async def test_regrouping_keeps_persons_and_their_names(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await with_faces(connection, [[float(n)] for n in range(6)])
        (ada, _), (ben, _) = await regroup(connection, session_id, group(*ids[:4]), group(*ids[4:]))
        await connection.execute(text("UPDATE persons SET name = 'Ada' WHERE id = :id"), {"id": ada})

        assert await regroup(connection, session_id, group(*ids[:3]), group(ids[3], ids[4])) == [(ada, 3), (ben, 2)]
        # Ada's faces are in no group for once: her name is not forgotten, though nobody shows her.
        assert await regroup(connection, session_id, group(*ids[4:])) == [(ben, 2)]
        assert await table(connection, "SELECT name FROM persons ORDER BY id") == [("Ada",), (None,)]
        assert await table(connection, "SELECT count(*) FROM clusterings") == [(1,)]
        assert await regroup(connection, session_id) == []
        assert await table(connection, "SELECT name FROM persons") == [("Ada",)]


async def test_a_group_shows_its_strongest_faces_first_and_a_session_its_own(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await with_faces(connection, [[float(n)] for n in range(3)])
        other = await new_session(connection)
        await regroup(connection, session_id, group(ids[2], ids[0], ids[1]))
        (listed,), _ = await faces.list_groups(connection, session_id=session_id, offset=0, limit=1)
        whole = await faces.get_group(connection, listed.id)

        assert [face.id for face in whole.faces] == [ids[2], ids[0], ids[1]]
        assert await faces.list_groups(connection, session_id=other, offset=0, limit=1) == ([], 0)
        assert await faces.count_session_groups(connection, session_id, model_id=FACES) == 1
        assert (await faces.get_face(connection, ids[2])).person_id == listed.person_id
        cover = await table(connection, "SELECT cover_face_id FROM persons")
        assert cover == [(ids[2],)]
        for get in (faces.get_group, faces.get_face):
            with pytest.raises(NotFoundError):
                await get(connection, 2**40)


async def test_faces_that_were_replaced_while_they_were_grouped_are_left_out(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await with_faces(connection, [[1.0], [2.0], [3.0]])
        await connection.execute(text("DELETE FROM faces WHERE id = ANY(:ids)"), {"ids": ids[1:]})
        await faces.replace_clustering(
            connection,
            session_id=session_id,
            model_id=FACES,
            parameters={},
            face_count=3,
            groups=[group(ids[0], ids[1]), group(ids[2])],
        )
        listed, _ = await faces.list_groups(connection, session_id=None, offset=0, limit=10)

    assert [[face.id for face in one.faces] for one in listed] == [[ids[0]]]
    assert listed[0].face_count == 1


# --- outbox and history


async def test_lifecycle_events_leave_in_order_with_growing_steps(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/a"])
        await sessions.start_session(connection, session_id)
        await leases.claim(connection, holder="a")
        run = await begin(connection, session_id)
        await lifecycle.update_run(connection, run.id, status="failed", error_code="x", error_message="X.")
        rows = await table(connection, "SELECT subject, message_id, payload FROM outbox ORDER BY id")

    events = [progress_event_pb2.ProgressEvent.FromString(payload) for _, _, payload in rows]
    assert [event.lifecycle.step for event in events] == [1, 2, 3, 4, 5]
    assert [event.lifecycle.epoch for event in events] == [0, 0, 0, 1, 1]
    assert len({message_id for _, message_id, _ in rows}) == len(rows)
    assert {subject for subject, *_ in rows} == {f"progress.v1.{session_id}.{phase}" for phase in sessions.PHASES}
    last = events[-1].lifecycle
    assert (last.state, last.error.code, last.error.message) == (progress_event_pb2.RUN_STATE_FAILED, "x", "X.")
    assert (events[3].lifecycle.total, events[3].lifecycle.weight) == (1, 0.30)


async def test_an_event_leaves_only_with_the_transaction_that_it_tells_of(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)
    async with engine.connect() as connection:
        await sessions.start_session(connection, session_id)
        await connection.rollback()
    async with engine.connect() as connection:
        assert await table(connection, "SELECT * FROM outbox") == []


async def test_history_is_the_pace_of_the_recent_runs_of_that_model_and_device(engine: AsyncEngine) -> None:
    async def pace(model: str, device: str) -> float:
        return await history.seconds_per_item(connection, phase="training", model_id=model, device=device)

    async with engine.connect() as connection:
        for number in range(history.RECENT_RUNS + 1):
            # The first, long ago, was much slower, and does not count any more.
            await history.record(
                connection,
                phase="training",
                model_id=MODEL,
                device="cpu",
                items=10,
                seconds=1000.0 if number == 0 else 20.0,
            )
            await connection.execute(text("UPDATE phase_history SET finished_at = finished_at - interval '1 hour'"))
        await history.record(connection, phase="training", model_id=MODEL, device="cpu", items=0, seconds=5.0)

        assert await pace(MODEL, "cpu") == 2.0
        assert await pace(MODEL, "cuda") == 0.0
        assert await pace("clip/2", "cpu") == 0.0
