"""The buttons of a session on a real PostgreSQL: pressed in every state, twice, and from several browsers at once."""

import asyncio
from typing import get_args

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.catalogue import (
    MODEL,
    begin,
    broken,
    embedded,
    items_of,
    new_session,
    table,
)
from triptych_gateway.catalog.runs import leases, lifecycle, results
from triptych_gateway.catalog.runs.lifecycle import ImpossibleTransitionError
from triptych_gateway.catalog.schema import LIVE_GENERATION
from triptych_gateway.catalog.sessions import control, sessions
from triptych_gateway.catalog.states import SESSION, Button, NotAllowedError, SessionStatus, allowed_buttons

PATHS = [b"/photos/a", b"/photos/b", b"/photos/c"]


async def press(connection: AsyncConnection, session_id: int, button: Button) -> None:
    match button:
        case "start":
            await control.start_session(connection, session_id)
        case "pause":
            await control.pause_session(connection, session_id)
        case "resume":
            await control.resume_session(connection, session_id)
        case "cancel":
            await control.cancel_session(connection, session_id)
        case "restart-training":
            await control.restart_phase(connection, session_id, "training")
        case "restart-faces":
            await control.restart_phase(connection, session_id, "face_detection")
        case "restart-clustering":
            await control.restart_phase(connection, session_id, "clustering")
        case "delete":
            raise AssertionError("not pressed here")


async def finished_session(connection: AsyncConnection) -> int:
    """A completed session with three photos, one of which failed in training."""
    session_id = await new_session(connection, paths=PATHS)
    await control.start_session(connection, session_id)
    for phase in sessions.PHASES:
        run = await begin(connection, session_id, "training") if phase == "training" else None
        if run is not None:
            one, two, three = await items_of(connection, run)
            outcomes = [embedded(one), embedded(two), broken(three)]
            await results.write_outcomes(connection, run, outcomes, model_id=MODEL)
        latest = (await lifecycle.latest_runs(connection, session_id))[phase]
        await lifecycle.update_run(connection, latest.id, status="completed", started_at=latest.completed_at)
    await connection.execute(text("UPDATE runs SET total = 3, done = 3 WHERE phase <> 'training'"))
    await sessions.end_session(connection, session_id, status="completed")
    return session_id


@pytest.mark.parametrize("button", [button for button in get_args(Button) if button != "delete"])
@pytest.mark.parametrize("status", get_args(SessionStatus))
async def test_each_button_in_each_state(engine: AsyncEngine, status: SessionStatus, button: Button) -> None:
    async with engine.begin() as connection:
        session_id = await finished_session(connection)
        await connection.execute(text("UPDATE sessions SET status = :status"), {"status": status})
        if button not in SESSION[status]:
            with pytest.raises(NotAllowedError) as refused:
                await press(connection, session_id, button)
            assert refused.value.allowed == allowed_buttons(status)
            return

        await press(connection, session_id, button)
        after = await sessions.get_session(connection, session_id)

    assert after.status == SESSION[status][button]


@pytest.mark.parametrize("button", ["pause", "cancel"])
async def test_whoever_ran_a_session_that_was_halted_can_write_no_more(engine: AsyncEngine, button: Button) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=PATHS)
        await control.start_session(connection, session_id)
        lease = await leases.claim(connection, holder="a")
        await begin(connection, session_id)
    assert lease is not None

    async with engine.begin() as connection:
        await press(connection, session_id, button)

    status = "paused" if button == "pause" else "cancelled"
    async with engine.begin() as connection:
        with pytest.raises(leases.LeaseLostError):
            await leases.check(connection, lease)
        assert await leases.claim(connection, holder="b") is None
        latest = await lifecycle.latest_runs(connection, session_id)
        session = await sessions.get_session(connection, session_id)
    assert [latest[phase].status for phase in sessions.PHASES] == [status, "pending", "pending"]
    assert (session.paused_at is not None, session.completed_at is not None) == (button == "pause", button == "cancel")


@pytest.mark.parametrize("button", ["pause", "cancel"])
async def test_start_goes_on_in_the_same_run(engine: AsyncEngine, button: Button) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=PATHS)
        await control.start_session(connection, session_id)
        run = await begin(connection, session_id)
        one, *_ = await items_of(connection, run)
        await results.write_outcomes(connection, run, [embedded(one)], model_id=MODEL)
        await press(connection, session_id, button)

        await control.start_session(connection, session_id)
        again = (await lifecycle.latest_runs(connection, session_id))["training"]
        left = await items_of(connection, again)
        lease = await leases.claim(connection, holder="b")

    assert (again.id, again.status, again.done) == (run.id, "running", 1)
    assert len(left) == len(PATHS) - 1
    assert lease is not None


@pytest.mark.parametrize("button", ["pause", "cancel", "restart-training", "restart-faces", "restart-clustering"])
async def test_a_button_pressed_in_several_browsers_at_once_takes_effect_once(
    engine: AsyncEngine, button: Button
) -> None:
    async with engine.begin() as connection:
        if button in ("pause", "cancel"):
            session_id = await new_session(connection, paths=PATHS)
            await control.start_session(connection, session_id)
            await begin(connection, session_id)
        else:
            session_id = await finished_session(connection)
        before = (await table(connection, "SELECT count(*) FROM runs"))[0][0]
        steps = (await sessions.get_session(connection, session_id)).lifecycle_step

    async def push() -> bool:
        async with engine.begin() as connection:
            try:
                await press(connection, session_id, button)
            except NotAllowedError:
                return False
            return True

    pressed = await asyncio.gather(*(push() for _ in range(4)))

    async with engine.connect() as connection:
        after = (await table(connection, "SELECT count(*) FROM runs"))[0][0]
        session = await sessions.get_session(connection, session_id)
    if button in ("pause", "cancel"):
        assert (pressed, after - before, session.lifecycle_step - steps) == ([True] * 4, 0, 1)
    else:
        new_runs = {"restart-training": 3, "restart-faces": 2, "restart-clustering": 1}[button]
        assert (sorted(pressed), after - before) == ([False, False, False, True], new_runs)


async def test_a_button_waits_for_a_write_that_is_under_way_and_none_of_them_is_lost(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=PATHS)
        await control.start_session(connection, session_id)
        lease = await leases.claim(connection, holder="a")
        run = await begin(connection, session_id)
        one, *_ = await items_of(connection, run)
    assert lease is not None

    async def pause() -> None:
        async with engine.begin() as connection:
            await control.pause_session(connection, session_id)

    async with engine.begin() as writing, engine.connect() as watching:
        await leases.check(writing, lease)
        pausing = asyncio.create_task(pause())
        async with asyncio.timeout(60):
            while (await table(watching, "SELECT count(*) FROM pg_locks WHERE NOT granted")) == [(0,)]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await results.write_outcomes(writing, run, [embedded(one)], model_id=MODEL)

    await pausing
    async with engine.connect() as connection:
        assert (await lifecycle.latest_runs(connection, session_id))["training"].done == 1
        assert (await sessions.get_session(connection, session_id)).status == "paused"


async def test_a_restart_of_failed_photos_begins_at_what_is_done(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await finished_session(connection)

        restarted = await control.restart_phase(connection, session_id, "training", failed_only=True)
        latest = await lifecycle.latest_runs(connection, session_id)
        run = await begin(connection, session_id)

    assert (restarted.items_reset, restarted.items_preserved) == (1, 2)
    training, faces, clustering = (latest[phase] for phase in sessions.PHASES)
    assert (training.number, training.status, training.skipped, training.total) == (2, "pending", 2, 3)
    assert training.generation == LIVE_GENERATION
    for later in (faces, clustering):
        assert (later.number, later.status, later.skipped, later.done) == (2, "pending", 0, 0)
    assert (run.total, run.skipped) == (3, 2)


async def test_a_whole_restart_does_every_photo_anew_in_a_generation_of_its_own(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await finished_session(connection)

        restarted = await control.restart_phase(connection, session_id, "training")
        run = await begin(connection, session_id)

        assert (restarted.items_reset, restarted.items_preserved) == (3, 0)
        assert (run.total, run.skipped) == (3, 0)
        assert run.generation > LIVE_GENERATION
        assert await table(connection, "SELECT count(*) FROM embeddings WHERE generation = 1") == [(2,)]


async def test_a_phase_whose_predecessor_is_not_completed_is_not_restarted(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=PATHS)
        await control.start_session(connection, session_id)
        await control.cancel_session(connection, session_id)

        with pytest.raises(NotAllowedError, match="training is not completed") as refused:
            await control.restart_phase(connection, session_id, "face_detection")

    assert refused.value.allowed == ("start",)


async def test_a_restart_that_is_restarted_leaves_nothing_of_the_first(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await finished_session(connection)
        await control.restart_phase(connection, session_id, "training")
        run = await begin(connection, session_id)
        one, *_ = await items_of(connection, run)
        await results.write_outcomes(connection, run, [embedded(one)], model_id=MODEL)
        await control.cancel_session(connection, session_id)

        await control.restart_phase(connection, session_id, "training")

        assert await table(connection, "SELECT count(*) FROM embeddings WHERE generation <> 1") == [(0,)]
        assert await table(connection, "SELECT count(*) FROM embeddings WHERE generation = 1") == [(2,)]


async def test_a_run_does_not_take_a_way_that_is_not_in_the_table(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await finished_session(connection)
        run = (await lifecycle.latest_runs(connection, session_id))["training"]

        with pytest.raises(ImpossibleTransitionError):
            await lifecycle.update_run(connection, run.id, status="running")
