"""Gives the photos of a run that need work their places: dense ordinals, of which shards are ranges.

All of it is one transaction, so a run is planned wholly or not at all. What it writes it writes in slices, so that no
statement takes longer than one may, however many photos there are.
"""

from typing import Final, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.runs.shards import RESULTS
from triptych_gateway.catalog.schema import LIVE_GENERATION

SLICE: Final = 500_000
"""Rows that one statement writes at most."""
_MIXED: Final = "(s.id % 2147483648) * 2654435769 % 4294967296"
"""Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4: 2³² over the golden ratio): in the order of these
numbers, every stretch is spread evenly over the whole, so that the first photos cost what the rest does on average. By
folder, all portraits may come first and all landscapes last, and no ETA could know."""
_MARK_JOBS: Final = {
    # Only rows that change are written: of a new session, none does.
    "training": """
        UPDATE session_assets s
        SET status = n.status, error_phase = NULL, error_code = NULL, error_message = NULL,
            completed_at = n.completed_at
        FROM (SELECT t.id,
                CASE WHEN p.job_id IS NOT NULL THEN 'pending'
                    WHEN t.status = 'completed' THEN 'completed' ELSE 'skipped' END AS status,
                CASE WHEN p.job_id IS NULL THEN coalesce(t.completed_at, now()) END AS completed_at
            FROM session_assets t LEFT JOIN planned_items p ON p.job_id = t.id
            WHERE t.session_id = :session_id AND t.id > :after AND t.id <= :last) n
        WHERE s.id = n.id AND (s.status, s.error_phase, s.error_code, s.error_message, s.completed_at)
            IS DISTINCT FROM (n.status, NULL, NULL, NULL, n.completed_at)""",
    # A photo that failed in an earlier run of this phase gets another chance.
    "face_detection": """
        UPDATE session_assets s SET status = 'completed', error_phase = NULL, error_code = NULL, error_message = NULL
        FROM planned_items p
        WHERE p.job_id = s.id AND s.session_id = :session_id AND s.id > :after AND s.id <= :last
            AND s.error_phase = 'face_detection'""",
}
"""Phase → what becomes of its session's jobs between two of their ids."""


class Assigned(NamedTuple):
    """What a run has before it."""

    total: int
    """Photos of the session."""
    skipped: int
    """Those that need no work."""
    renewed: int
    """Those that need it because their result is of another model."""


async def assign_items(connection: AsyncConnection, run: Run, *, model_id: str) -> Assigned:
    """Give the session's photos without a result of this model dense ordinals in the run, in an order that mixes them.

    In training, photos that need no work are marked as skipped.
    """
    to_do = await _put_in_order(connection, run, model_id=model_id)
    for first in range(0, to_do, SLICE):
        await connection.execute(
            text("""
                INSERT INTO run_items (run_id, ordinal, asset_id)
                SELECT :run_id, ordinal, asset_id FROM planned_items WHERE ordinal >= :first AND ordinal < :end
                ORDER BY ordinal"""),
            {"run_id": run.id, "first": first, "end": first + SLICE},
        )
    total = await _mark_jobs(connection, run)
    renewed = await _count_renewed(connection, run, model_id=model_id)
    await connection.execute(text("DROP TABLE planned_items"))
    return Assigned(total=total, skipped=total - to_do, renewed=renewed)


async def _put_in_order(connection: AsyncConnection, run: Run, *, model_id: str) -> int:
    """Put the photos that need work, and their jobs, into the temporary table ``planned_items``; returns how many.

    Only this transaction sees it, and its end takes it away.
    """
    await connection.execute(
        text("""
            CREATE TEMPORARY TABLE planned_items (ordinal integer NOT NULL, job_id bigint NOT NULL,
                asset_id bigint NOT NULL) ON COMMIT DROP""")
    )
    results = RESULTS[run.phase]
    planned = await connection.execute(
        text(f"""
            INSERT INTO planned_items (ordinal, job_id, asset_id)
            SELECT row_number() OVER (ORDER BY {_MIXED}, s.id) - 1, s.id, s.asset_id
            FROM session_assets s JOIN assets a ON a.id = s.asset_id
            LEFT JOIN {results} r ON r.asset_id = a.id AND r.model_id = :model_id
                AND r.generation = :generation AND r.asset_version = a.version
            WHERE s.session_id = :session_id AND r.asset_id IS NULL"""),  # noqa: S608 - constants
        {"session_id": run.session_id, "model_id": model_id, "generation": run.generation},
    )
    for statement in (
        "CREATE INDEX ON planned_items (ordinal)",
        "CREATE INDEX ON planned_items (job_id)",
        "ANALYZE planned_items",
    ):
        await connection.execute(text(statement))
    return planned.rowcount


async def _mark_jobs(connection: AsyncConnection, run: Run) -> int:
    """Bring the session's jobs to where the run begins; returns how many there are."""
    after = total = 0
    while True:
        jobs = (
            await connection.execute(
                text("""
                    SELECT count(*) AS number, max(id) AS last FROM (
                        SELECT id FROM session_assets WHERE session_id = :session_id AND id > :after
                        ORDER BY id LIMIT :slice) AS jobs"""),
                {"session_id": run.session_id, "after": after, "slice": SLICE},
            )
        ).one()
        if jobs.number == 0:
            return total
        await connection.execute(
            text(_MARK_JOBS[run.phase]), {"session_id": run.session_id, "after": after, "last": jobs.last}
        )
        total += jobs.number
        after = jobs.last


async def _count_renewed(connection: AsyncConnection, run: Run, *, model_id: str) -> int:
    """Photos of the run that have a result, but only of another model."""
    results = RESULTS[run.phase]
    renewed = await connection.execute(
        text(f"""
            SELECT count(*) FROM planned_items p JOIN assets a ON a.id = p.asset_id
            WHERE NOT EXISTS (SELECT 1 FROM {results} r WHERE r.asset_id = a.id AND r.model_id = :model_id
                AND r.generation = {LIVE_GENERATION} AND r.asset_version = a.version)
            AND EXISTS (SELECT 1 FROM {results} r WHERE r.asset_id = a.id AND r.model_id <> :model_id
                AND r.generation = {LIVE_GENERATION} AND r.asset_version = a.version)"""),  # noqa: S608 - constants
        {"model_id": model_id},
    )
    count: int = renewed.scalar_one()
    return count
