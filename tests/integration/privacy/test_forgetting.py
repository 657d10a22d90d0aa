"""Forgetting on a real PostgreSQL: nothing of who or what it was is left in any row, and all others' rows stay."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.catalogue import FACES, MODEL, begin, embedded, items_of, new_session, table
from tests.support.people import detect, library, name, names, regroup, search_again, who, wrong_counters
from triptych_gateway.catalog.clustering import kept_graphs
from triptych_gateway.catalog.clustering.kept_graphs import KeptChange, KeptFace
from triptych_gateway.catalog.database import CLUSTERING_LOCK
from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.people import corrections
from triptych_gateway.catalog.privacy import forgettings, photo_removal
from triptych_gateway.catalog.privacy.carrying_out import carry_on
from triptych_gateway.catalog.privacy.forgettings import Forgetting, Kind
from triptych_gateway.catalog.privacy.retention import KeptFor
from triptych_gateway.catalog.privacy.waiting import MustWaitError
from triptych_gateway.catalog.runs import lifecycle, results
from triptych_gateway.catalog.sessions import control
from triptych_gateway.catalog.states import NotAllowedError
from triptych_gateway.pipeline.forgetting import Forgetter


@dataclass(frozen=True, kw_only=True)
class People:
    """Three photos with two faces each: the left ones are Ada's, the right ones Ben's."""

    session_id: int
    ada: int
    ben: int
    adas: Sequence[int]
    bens: Sequence[int]


async def people(connection: AsyncConnection) -> People:
    session_id, ids = await library(connection, [2, 2, 2])
    adas, bens = ids[::2], ids[1::2]
    await regroup(connection, session_id, adas, bens)
    shown = await who(connection)
    ada, ben = shown[adas[0]], shown[bens[0]]
    assert ada is not None
    assert ben is not None
    await name(connection, ada, "Ada")
    await name(connection, ben, "Ben")
    change = KeptChange(
        former=None,
        version="1",
        face_count=len(ids),
        group_count=0,
        most_new_faces=1,
        faces=[[KeptFace(face_id, b"", b"", 1, 1, -1, 0.5) for face_id in ids]],
        groups=[],
        gone_face_ids=[],
        gone_group_marks=[],
    )
    assert await kept_graphs.write(connection, change, model_id=FACES)
    return People(session_id=session_id, ada=ada, ben=ben, adas=adas, bens=bens)


async def forget(connection: AsyncConnection, kind: Kind, subject_id: int, *, keeps_out: bool = False) -> Forgetting:
    """Ask, and carry it to its end."""
    asked = await forgettings.ask(connection, kind, subject_id, keeps_out=keeps_out)
    while not await carry_on(connection, asked.id):
        pass
    return await forgettings.get_forgetting(connection, asked.id)


async def photo_of(connection: AsyncConnection, face_id: int) -> int:
    found: int = (await table(connection, "SELECT asset_id FROM faces WHERE id = :id", id=face_id))[0][0]
    return found


async def test_of_a_person_nothing_is_left_and_others_stay(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        those = await people(connection)
        await corrections.keep_apart(connection, those.ada, [those.ben])
        await connection.execute(
            text("""
                INSERT INTO changed_persons (run_id, kind, person_id, name, into_id, faces)
                SELECT id, 'merged', 999, 'Ada as well', :ada, 1 FROM runs LIMIT 1"""),
            {"ada": those.ada},
        )

        done = await forget(connection, "person", those.ada)

        assert (done.persons, done.faces, done.photos, done.done_at is not None) == (1, 3, 0, True)
        assert await names(connection) == {"Ben": those.ben}
        assert await who(connection) == dict.fromkeys(those.bens, those.ben)
        assert await table(connection, "SELECT id FROM faces ORDER BY id") == [(one,) for one in those.bens]
        for gone in ("corrections", "different_persons", "changed_persons", "kept_graphs", "kept_faces"):
            assert await table(connection, f"SELECT * FROM {gone}") == [], gone  # noqa: S608
        assert await table(connection, "SELECT count(*) FROM groups") == [(1,)]
        assert await table(connection, "SELECT DISTINCT face_count FROM face_scans") == [(1,)]
        assert await table(connection, "SELECT count(*) FROM assets") == [(3,)]
        assert await wrong_counters(connection) == []


async def test_what_other_models_and_searches_under_way_found_of_a_person_goes_too(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        those = await people(connection)
        await search_again(connection, [*those.adas, *those.bens], generation=7, shift=0.02)
        other = await detect(connection, await new_session(connection, paths=[b"/photos/000"]), [2], model_id="other/1")

        done = await forget(connection, "person", those.ada)

        assert done.faces == 7
        assert await table(connection, "SELECT generation, count(*) FROM faces GROUP BY 1 ORDER BY 1") == [
            (1, 4),
            (7, 3),
        ]
        assert await table(connection, "SELECT id FROM faces WHERE model_id = 'other/1'") == [(other[1],)]


async def test_a_face_that_was_said_to_be_a_persons_goes_with_the_person_and_a_corrected_one_stays(
    engine: AsyncEngine,
) -> None:
    async with engine.begin() as connection:
        those = await people(connection)
        await corrections.say_who(connection, those.bens[0], those.ada)
        await corrections.say_who(connection, those.adas[0], those.ben)

        await forget(connection, "person", those.ada)

        assert await who(connection) == {
            those.adas[0]: those.ben,
            those.bens[1]: those.ben,
            those.bens[2]: those.ben,
        }
        assert await wrong_counters(connection) == []


@pytest.mark.parametrize("keeps_out", [True, False])
async def test_a_later_search_stores_no_face_where_it_is_kept_out(engine: AsyncEngine, *, keeps_out: bool) -> None:
    async with engine.begin() as connection:
        those = await people(connection)
        await forget(connection, "person", those.ada, keeps_out=keeps_out)
        await connection.execute(text("DELETE FROM face_scans"))
        await connection.execute(text("UPDATE assets SET version = 2 WHERE path = '/photos/002'"))
        session_id = await new_session(connection, paths=[b"/photos/000", b"/photos/001", b"/photos/002"])

        found = await detect(connection, session_id, [2, 2, 2])

        per_photo = await table(
            connection, "SELECT a.path, s.face_count FROM face_scans s JOIN assets a ON a.id = s.asset_id ORDER BY 1"
        )
        once = 1 if keeps_out else 2
        # The third photo is another by now, so its old boxes say nothing of it.
        assert per_photo == [(b"/photos/000", once), (b"/photos/001", once), (b"/photos/002", 2)]
        assert len(found) == 2 * once + 2


async def test_of_a_photo_nothing_is_left_and_its_sessions_go_on(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        those = await people(connection)
        run = await begin(connection, those.session_id)
        await results.write_outcomes(
            connection, run, [embedded(item) for item in await items_of(connection, run)], model_id=MODEL
        )
        await connection.execute(
            text("""
                INSERT INTO session_problems (session_id, path, code, message)
                VALUES (:id, '/photos/000', 'x', 'x'), (:id, '/photos/001', 'x', 'x')"""),
            {"id": those.session_id},
        )
        asset_id = await photo_of(connection, those.adas[0])

        done = await forget(connection, "photo", asset_id)

        assert (done.photos, done.faces, done.persons) == (1, 2, 0)
        for of_it in ("embeddings", "faces", "face_scans", "face_places", "session_assets", "run_items"):
            assert await table(connection, f"SELECT 1 FROM {of_it} WHERE asset_id = :id", id=asset_id) == []  # noqa: S608
        assert await table(connection, "SELECT path FROM assets ORDER BY path") == [
            (b"/photos/001",),
            (b"/photos/002",),
        ]
        assert await table(connection, "SELECT path FROM session_problems") == [(b"/photos/001",)]
        assert await table(connection, "SELECT photo_count FROM directories") == [(2,)]
        assert await table(connection, "SELECT sum(count) FROM session_job_counts") == [(2,)]
        assert await names(connection) == {"Ada": those.ada, "Ben": those.ben}
        assert await wrong_counters(connection) == []


async def test_a_person_whose_last_photo_goes_leaves_no_name(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [1, 1])
        await regroup(connection, session_id, ids[:1], ids[1:])
        shown = await who(connection)
        await name(connection, shown[ids[0]], "Ada")
        await name(connection, shown[ids[1]], "Ben")

        await forget(connection, "photo", await photo_of(connection, ids[0]))

        assert list(await names(connection)) == ["Ben"]


async def test_a_photo_of_a_session_at_work_is_refused_and_waited_for(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/a"])
        asset_id = (await table(connection, "SELECT id FROM assets"))[0][0]
        asked = await forgettings.ask(connection, "photo", asset_id)
        await control.start_session(connection, session_id)
    async with engine.connect() as connection:
        with pytest.raises(MustWaitError, match=f"Session {session_id}"):
            await carry_on(connection, asked.id)
        await connection.rollback()
        await connection.execute(text("DELETE FROM forgettings"))
        with pytest.raises(NotAllowedError) as refused:
            await forgettings.ask(connection, "photo", asset_id)
    assert refused.value.status == "running"


async def test_a_cancelled_session_goes_on_without_the_photo(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/a", b"/photos/b", b"/photos/c"])
        await control.start_session(connection, session_id)
        run = await begin(connection, session_id)
        items = await items_of(connection, run)
        await results.write_outcomes(connection, run, [embedded(items[0])], model_id=MODEL)
        await control.cancel_session(connection, session_id)

        await forget(connection, "photo", items[1].asset_id)
        await control.start_session(connection, session_id)
        latest = await begin(connection, session_id)

        assert (latest.number, latest.total, latest.skipped) == (2, 2, 1)
        assert [item.path for item in await items_of(connection, latest)] == [b"/photos/c"]
        assert (await lifecycle.latest_runs(connection, session_id))["training"].status == "running"


async def test_of_a_session_its_own_photos_go_and_those_of_others_stay(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        those = await people(connection)
        other = await new_session(connection, paths=[b"/photos/002", b"/photos/003"])
        await lifecycle.announce_all(connection, those.session_id)
        await lifecycle.announce_all(connection, other)

        done = await forget(connection, "session", those.session_id)

        assert (done.sessions, done.photos, done.faces) == (1, 2, 4)
        assert await table(connection, "SELECT id FROM sessions") == [(other,)]
        assert await table(connection, "SELECT path FROM assets ORDER BY path") == [
            (b"/photos/002",),
            (b"/photos/003",),
        ]
        assert await who(connection) == {those.adas[2]: those.ada, those.bens[2]: those.ben}
        subjects = {row[0] for row in await table(connection, "SELECT subject FROM outbox")}
        assert [one for one in subjects if one.startswith(f"progress.v1.{those.session_id}.")] == [
            f"progress.v1.{those.session_id}.forgotten"
        ]
        assert len(subjects) == 4, "the other session's events leave as before"
        for of_it in ("session_persons", "session_groups", "session_faces", "runs", "session_directories"):
            query = f"SELECT * FROM {of_it} WHERE session_id = :id"  # noqa: S608
            assert await table(connection, query, id=those.session_id) == [], of_it
        assert await wrong_counters(connection) == []


async def test_a_session_that_runs_is_refused(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/a"])
        await control.start_session(connection, session_id)
        with pytest.raises(NotAllowedError):
            await forgettings.ask(connection, "session", session_id)


async def test_faces_wait_for_a_clustering_that_holds_them(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        those = await people(connection)
        asked = await forgettings.ask(connection, "person", those.ada)
    async with engine.connect() as clustering, engine.connect() as connection:
        await clustering.execute(text("SELECT pg_advisory_lock(:key)"), {"key": CLUSTERING_LOCK})
        with pytest.raises(MustWaitError, match="clustering"):
            await carry_on(connection, asked.id)
        await connection.rollback()
        await clustering.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": CLUSTERING_LOCK})
        assert await carry_on(connection, asked.id)


@pytest.mark.parametrize("kind", ["person", "photo", "session"])
async def test_asking_twice_changes_nothing_and_nobody_is_not_found(engine: AsyncEngine, kind: Kind) -> None:
    async with engine.begin() as connection:
        those = await people(connection)
        subject_id = {
            "person": those.ada,
            "photo": await photo_of(connection, those.adas[0]),
            "session": those.session_id,
        }[kind]
        done = await forget(connection, kind, subject_id)
        assert await forgettings.ask(connection, kind, subject_id) == done
        assert await forgettings.list_forgettings(connection, offset=0, limit=5) == ([done], 1)
        with pytest.raises(NotFoundError):
            await forgettings.ask(connection, kind, 2**40)


async def test_each_forgetting_has_a_later_mark(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        those = await people(connection)
        marks = [await forgettings.last_done(connection)]
        await forget(connection, "person", those.ada)
        marks.append(await forgettings.last_done(connection))
        await forget(connection, "person", those.ben)
        marks.append(await forgettings.last_done(connection))
    assert marks[0] == ""
    assert marks[1] < marks[2]
    assert np.unique(marks).size == 3


async def test_what_was_broken_off_goes_on_and_spares_what_another_session_has_taken_up_meanwhile(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_removal, "PHOTOS_AT_ONCE", 1)
    async with engine.begin() as connection:
        those = await people(connection)
        asked = await forgettings.ask(connection, "session", those.session_id)
    for _ in range(2):
        async with engine.begin() as connection:
            assert not await carry_on(connection, asked.id)
    async with engine.connect() as connection:
        assert not await carry_on(connection, asked.id)
        await connection.rollback()
    async with engine.begin() as connection:
        half = await forgettings.get_forgetting(connection, asked.id)
        assert (half.sessions, half.photos, half.done_at) == (1, 1, None)
        await new_session(connection, paths=[b"/photos/002"])

    forgetter = Forgetter(engine, kept_for=KeptFor(run_details_days=0, missing_photos_days=0, forgettings_days=0))
    async with engine.connect() as connection:
        await forgetter.look(connection)

    async with engine.begin() as connection:
        done = await forgettings.get_forgetting(connection, asked.id)
        assert (done.sessions, done.photos, done.faces) == (1, 2, 4)
        assert await table(connection, "SELECT path FROM assets") == [(b"/photos/002",)]
        assert await table(connection, "SELECT * FROM forgetting_photos") == []
        assert await wrong_counters(connection) == []


async def test_one_that_waits_says_for_what_and_holds_up_no_other(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        those = await people(connection)
        at_work = await new_session(connection, paths=[b"/photos/a"])
        waiting = await forgettings.ask(connection, "session", at_work)
        other = await forgettings.ask(connection, "person", those.ada)
        await control.start_session(connection, at_work)
    forgetter = Forgetter(engine, kept_for=KeptFor(run_details_days=0, missing_photos_days=0, forgettings_days=0))
    async with engine.connect() as connection:
        await forgetter.look(connection)
        assert (await forgettings.get_forgetting(connection, other.id)).done_at is not None
        told = (await forgettings.get_forgetting(connection, waiting.id)).waits_for
        assert told == f"Session {at_work} is running; it goes once that is over."
        await control.cancel_session(connection, at_work)
        await connection.commit()
        await forgetter.look(connection)
        done = await forgettings.get_forgetting(connection, waiting.id)
        assert (done.waits_for, done.sessions, done.photos) == (None, 1, 1)
