"""Gives the photos of a run that need work their places: dense ordinals, of which shards are ranges.

`put_in_order` puts down, in temporary tables, which photos those are, and what becomes of the session's jobs.
`change_jobs` changes the jobs, each slice in a transaction of its own if the caller likes: where that breaks off, the
next plan does what is left. `assign_items` writes the places, in the transaction in which the run begins, so that a run
is planned wholly or not at all.

What is written is written in slices, so that no statement takes longer than one may; only the sorting is one statement.
The temporary tables are the connection's: they last until `forget_order`, or until it is closed.
"""

from typing import Final, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.runs.shards import RESULTS
from triptych_gateway.catalog.schema import LIVE_GENERATION

SLICE: Final = 500_000
"""Items that one statement writes at most."""
JOBS_SLICE: Final = 20_000
"""Jobs that one statement changes at most."""
_MIXED: Final = "(s.id % 2147483648) * 2654435769 % 4294967296"
"""Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4: 2³² over the golden ratio): in the order of these
numbers, every stretch is spread evenly over the whole, so that the first photos cost what the rest does on average. By
folder, all portraits may come first and all landscapes last, and no ETA could know."""
_TABLES: Final = (
    "DROP TABLE IF EXISTS pg_temp.planned_items, pg_temp.job_changes",
    "CREATE TEMPORARY TABLE planned_items (ordinal integer NOT NULL, asset_id bigint NOT NULL)",
    """CREATE TEMPORARY TABLE job_changes (position integer NOT NULL, job_id bigint NOT NULL, status text NOT NULL,
        completed_at timestamptz)""",
)
_READY: Final = (
    "CREATE INDEX ON planned_items (ordinal)",
    "CREATE INDEX ON job_changes (position)",
    "ANALYZE planned_items, job_changes",
)
_JOBS_AND_RESULTS: Final = """session_assets s LEFT JOIN (
        {results} r JOIN assets a ON a.id = r.asset_id AND a.version = r.asset_version)
    ON r.asset_id = s.asset_id AND r.model_id = :model_id AND r.generation = :generation"""
"""Each job, and the result that its photo has of this model, if it has one."""
_JOB_CHANGES: Final = {
    "training": """
        SELECT id, new_status, newly_completed_at FROM (
            SELECT s.*, CASE WHEN r.asset_id IS NULL THEN 'pending'
                    WHEN s.status = 'completed' THEN 'completed' ELSE 'skipped' END AS new_status,
                CASE WHEN r.asset_id IS NOT NULL THEN coalesce(s.completed_at, now()) END AS newly_completed_at
            FROM {jobs_and_results} WHERE s.session_id = :session_id) j
        WHERE (status, error_phase, error_code, error_message, completed_at)
            IS DISTINCT FROM (new_status, NULL, NULL, NULL, newly_completed_at)""",
    # A photo that failed in an earlier run of this phase gets another chance.
    "face_detection": """
        SELECT s.id, 'completed', s.completed_at FROM {jobs_and_results}
        WHERE s.session_id = :session_id AND r.asset_id IS NULL AND s.error_phase = 'face_detection'""",
}
"""Phase → the jobs that it changes when it begins, their new status, and when they were completed. Of a new session,
none changes."""
_RESULT_OF_A_MODEL: Final = """EXISTS (
    SELECT FROM {results} r JOIN assets a ON a.id = r.asset_id AND a.version = r.asset_version
    WHERE r.asset_id = p.asset_id AND r.model_id {is_of} :model_id AND r.generation = {live})"""


class Order(NamedTuple):
    """What `put_in_order` has put down."""

    items: int
    """Photos that need work."""
    job_changes: int
    """Jobs that become something else."""


async def put_in_order(connection: AsyncConnection, run: Run, *, model_id: str) -> Order:
    """Put down the photos of the session without a result of this model, mixed, and what its jobs become.

    A transaction of this alone is best one of REPEATABLE READ, so that both are of one moment.
    """
    for statement in _TABLES:
        await connection.execute(text(statement))
    parameters = {"session_id": run.session_id, "model_id": model_id, "generation": run.generation}
    jobs_and_results = _JOBS_AND_RESULTS.format(results=RESULTS[run.phase])
    items = await connection.execute(
        text(f"""
            INSERT INTO planned_items (ordinal, asset_id)
            SELECT row_number() OVER (ORDER BY {_MIXED}, s.id) - 1, s.asset_id FROM {jobs_and_results}
            WHERE s.session_id = :session_id AND r.asset_id IS NULL"""),  # noqa: S608 - constants
        parameters,
    )
    changes = await connection.execute(
        text(f"""
            INSERT INTO job_changes (position, job_id, status, completed_at)
            SELECT row_number() OVER (ORDER BY changed.id) - 1, changed.*
            FROM ({_JOB_CHANGES[run.phase].format(jobs_and_results=jobs_and_results)}) changed"""),  # noqa: S608
        parameters,
    )
    for statement in _READY:
        await connection.execute(text(statement))
    return Order(items=items.rowcount, job_changes=changes.rowcount)


async def change_jobs(connection: AsyncConnection, *, first: int) -> None:
    """Change JOBS_SLICE jobs, from the ``first`` change that was put down on. Doing it twice changes nothing."""
    await connection.execute(
        text("""
            UPDATE session_assets s SET status = c.status, error_phase = NULL, error_code = NULL, error_message = NULL,
                completed_at = c.completed_at
            FROM job_changes c WHERE s.id = c.job_id AND c.position >= :first AND c.position < :end"""),
        {"first": first, "end": first + JOBS_SLICE},
    )


async def assign_items(connection: AsyncConnection, run: Run, *, items: int) -> None:
    """Give so many photos the places in the run that were put down for them."""
    for first in range(0, items, SLICE):
        await connection.execute(
            text("""
                INSERT INTO run_items (run_id, ordinal, asset_id)
                SELECT :run_id, ordinal, asset_id FROM planned_items WHERE ordinal >= :first AND ordinal < :end
                ORDER BY ordinal"""),
            {"run_id": run.id, "first": first, "end": first + SLICE},
        )


async def count_photos(connection: AsyncConnection, run: Run) -> int:
    """Photos of the session, whether they need work or not."""
    counted = await connection.execute(
        text("SELECT CAST(coalesce(sum(count), 0) AS bigint) FROM session_job_counts WHERE session_id = :session_id"),
        {"session_id": run.session_id},
    )
    count: int = counted.scalar_one()
    return count


async def count_renewed(connection: AsyncConnection, run: Run, *, model_id: str) -> int:
    """Photos of the run that have a result, but only of another model."""
    of_this, of_another = (
        _RESULT_OF_A_MODEL.format(results=RESULTS[run.phase], is_of=is_of, live=LIVE_GENERATION)
        for is_of in ("=", "<>")
    )
    renewed = await connection.execute(
        text(f"SELECT count(*) FROM planned_items p WHERE {of_another} AND NOT {of_this}"),  # noqa: S608 - constants
        {"model_id": model_id},
    )
    count: int = renewed.scalar_one()
    return count


async def forget_order(connection: AsyncConnection) -> None:
    """Drop what was put down."""
    await connection.execute(text(_TABLES[0]))
