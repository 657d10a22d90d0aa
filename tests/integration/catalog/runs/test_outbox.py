"""The catalogue on a real PostgreSQL: the outbox and the history."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.catalogue import MODEL, begin, new_session, table
from triptych.v1 import progress_event_pb2
from triptych_common.progress.evidence import Timing
from triptych_gateway.catalog.runs import history, leases, lifecycle
from triptych_gateway.catalog.sessions import control, sessions


async def test_lifecycle_events_leave_in_order_with_growing_steps(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/a"])
        await control.start_session(connection, session_id)
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
        await control.start_session(connection, session_id)
        await connection.rollback()
    async with engine.connect() as connection:
        assert await table(connection, "SELECT * FROM outbox") == []


async def test_history_is_the_recent_runs_of_that_model_and_device(engine: AsyncEngine) -> None:
    async def recent(model: str, device: str) -> tuple[Timing, ...]:
        return await history.recent(connection, phase="training", model_id=model, device=device)

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
        few = history.LEAST_ITEMS - 1
        await history.record(connection, phase="training", model_id=MODEL, device="cpu", items=few, seconds=5.0)
        await history.record(connection, phase="training", model_id=MODEL, device="cpu", items=30, seconds=50.0)

        ten = Timing(10.0, 20.0)
        assert await recent(MODEL, "cpu") == (Timing(30.0, 50.0), *[ten] * (history.RECENT_RUNS - 1))
        assert await recent(MODEL, "cuda") == ()
        assert await recent("clip/2", "cpu") == ()
