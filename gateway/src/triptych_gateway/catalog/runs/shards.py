"""The photos of a run that need work: dense ordinals, shards, and what is left of them."""

import secrets
from dataclasses import dataclass
from typing import Final, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych.v1 import progress_event_pb2
from triptych_common.progress.events import PHASES_BY_NAME
from triptych_common.progress.publisher import WORKER
from triptych_gateway.catalog.runs import lifecycle
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.schema import LIVE_GENERATION

_MIXED: Final = "(s.id % 2147483648) * 2654435769 % 4294967296"
"""Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4: 2³² over the golden ratio): in the order of these
numbers, every stretch is spread evenly over the whole, so that the first photos cost what the rest does on average. By
folder, all portraits may come first and all landscapes last, and no ETA could know."""
RESULTS: Final = {"training": "embeddings", "face_detection": "face_scans"}
"""Phase → the table with one row per photo that has a result."""


@dataclass(frozen=True, kw_only=True)
class ShardItem:
    """A photo of a shard that still needs work."""

    ordinal: int
    asset_id: int
    asset_version: int
    path: bytes


@dataclass(frozen=True, kw_only=True)
class Shard:
    """What is left of a range of ordinals."""

    ordinal: int
    """Of the shard within its run."""
    size: int
    """Photos of the whole shard."""
    done: int
    failed: int
    items: tuple[ShardItem, ...]

    @property
    def unit(self) -> str:
        """Its name in progress events."""
        return f"shard-{self.ordinal}"


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
    parameters = {
        "run_id": run.id,
        "session_id": run.session_id,
        "model_id": model_id,
        "generation": run.generation,
    }
    results = RESULTS[run.phase]
    assigned = await connection.execute(
        text(f"""
            INSERT INTO run_items (run_id, ordinal, asset_id)
            SELECT :run_id, row_number() OVER (ORDER BY {_MIXED}, s.id) - 1, s.asset_id
            FROM session_assets s JOIN assets a ON a.id = s.asset_id
            LEFT JOIN {results} r ON r.asset_id = a.id AND r.model_id = :model_id
                AND r.generation = :generation AND r.asset_version = a.version
            WHERE s.session_id = :session_id AND r.asset_id IS NULL"""),  # noqa: S608 - constants
        parameters,
    )
    total = (
        await connection.execute(
            text("SELECT count(*) FROM session_assets WHERE session_id = :session_id"),
            {"session_id": run.session_id},
        )
    ).scalar_one()
    if run.phase == "training":
        await connection.execute(
            text("""
                UPDATE session_assets s SET
                    status = CASE WHEN i.asset_id IS NULL THEN
                        CASE WHEN s.status = 'completed' THEN 'completed' ELSE 'skipped' END ELSE 'pending' END,
                    error_phase = NULL, error_code = NULL, error_message = NULL,
                    completed_at = CASE WHEN i.asset_id IS NULL THEN coalesce(s.completed_at, now()) END
                FROM session_assets t LEFT JOIN run_items i ON i.run_id = :run_id AND i.asset_id = t.asset_id
                WHERE t.id = s.id AND s.session_id = :session_id"""),
            {"run_id": run.id, "session_id": run.session_id},
        )
    else:
        # A photo that failed in an earlier run of this phase gets another chance.
        await connection.execute(
            text("""
                UPDATE session_assets s SET status = 'completed', error_phase = NULL, error_code = NULL,
                    error_message = NULL
                FROM run_items i WHERE i.run_id = :run_id AND i.asset_id = s.asset_id
                    AND s.session_id = :session_id AND s.error_phase = :phase"""),
            {"run_id": run.id, "session_id": run.session_id, "phase": run.phase},
        )
    renewed = await connection.execute(
        text(f"""
            SELECT count(*) FROM run_items i JOIN assets a ON a.id = i.asset_id
            WHERE i.run_id = :run_id
            AND NOT EXISTS (SELECT 1 FROM {results} r WHERE r.asset_id = a.id AND r.model_id = :model_id
                AND r.generation = {LIVE_GENERATION} AND r.asset_version = a.version)
            AND EXISTS (SELECT 1 FROM {results} r WHERE r.asset_id = a.id AND r.model_id <> :model_id
                AND r.generation = {LIVE_GENERATION} AND r.asset_version = a.version)"""),  # noqa: S608 - constants
        {"run_id": run.id, "model_id": model_id},
    )
    return Assigned(total=total, skipped=total - assigned.rowcount, renewed=renewed.scalar_one())


async def unfinished_shards(connection: AsyncConnection, run: Run) -> list[int]:
    """Ordinals of the shards that have photos without a result, in order."""
    rows = await connection.execute(
        text("""
            SELECT DISTINCT ordinal / :shard_size AS shard FROM run_items
            WHERE run_id = :run_id AND state = 'pending' ORDER BY shard"""),
        {"run_id": run.id, "shard_size": run.shard_size},
    )
    return [row.shard for row in rows]


async def load_shard(connection: AsyncConnection, run: Run, ordinal: int) -> Shard:
    """What is left of a shard."""
    rows = (
        await connection.execute(
            # The limit tells PostgreSQL how few they are: every run has low ordinals, so it would expect many here.
            text("""
                SELECT i.ordinal, i.state, i.asset_id, a.version, a.path
                FROM (SELECT ordinal, state, asset_id FROM run_items
                    WHERE run_id = :run_id AND ordinal >= :first AND ordinal < :end
                    ORDER BY ordinal LIMIT :size) i JOIN assets a ON a.id = i.asset_id ORDER BY i.ordinal"""),
            {
                "run_id": run.id,
                "first": ordinal * run.shard_size,
                "end": (ordinal + 1) * run.shard_size,
                "size": run.shard_size,
            },
        )
    ).all()
    return Shard(
        ordinal=ordinal,
        size=len(rows),
        done=sum(row.state == "done" for row in rows),
        failed=sum(row.state == "failed" for row in rows),
        items=tuple(
            ShardItem(ordinal=row.ordinal, asset_id=row.asset_id, asset_version=row.version, path=row.path)
            for row in rows
            if row.state == "pending"
        ),
    )


async def shard_counts(connection: AsyncConnection, run: Run) -> list[Shard]:
    """Size and counts of every shard, without its photos."""
    rows = await connection.execute(
        text("""
            SELECT ordinal / :shard_size AS shard, count(*) AS size,
                count(*) FILTER (WHERE state = 'done') AS done, count(*) FILTER (WHERE state = 'failed') AS failed
            FROM run_items WHERE run_id = :run_id GROUP BY shard ORDER BY shard"""),
        {"run_id": run.id, "shard_size": run.shard_size},
    )
    return [Shard(ordinal=row.shard, size=row.size, done=row.done, failed=row.failed, items=()) for row in rows]


async def announce_shard(
    connection: AsyncConnection, run: Run, shard: Shard, *, epoch: int, repeat: bool = False
) -> None:
    """Announce what the catalogue holds of a shard: after a lost stream, or an outcome that no worker reported.

    The stream keeps one of the same announcements under the same epoch, unless it is a ``repeat``.
    """
    event = progress_event_pb2.ProgressEvent(
        session_id=run.session_id,
        phase=PHASES_BY_NAME[run.phase],
        run=run.number,
        source="pipeline",
        unit=shard.unit,
        counts=progress_event_pb2.UnitCounts(done=shard.done, failed=shard.failed, total=shard.size),
        worker=WORKER,
    )
    event.reported_at.GetCurrentTime()
    message_id = f"{run.session_id}.{run.phase}.{run.number}.{shard.unit}.{shard.done}.{shard.failed}.epoch.{epoch}"
    if repeat:
        message_id += f".{secrets.token_hex(8)}"
    await lifecycle.put_into_outbox(connection, event, message_id=message_id)
