"""The shards of a run: what is left of each, and how they are announced."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych.v1 import progress_event_pb2
from triptych_common.progress.events import PHASES_BY_NAME
from triptych_common.progress.publisher import WORKER
from triptych_gateway.catalog.runs import lifecycle
from triptych_gateway.catalog.runs.lifecycle import Run

RESULTS: Final = {"training": "embeddings", "face_detection": "face_scans"}
"""Phase → the table with one row per photo that has a result."""
_ANNOUNCED_AT_ONCE: Final = 1000
"""Events that are held in memory: a huge run has a hundred thousand shards."""


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

    @property
    def has_begun(self) -> bool:
        """Whether any of its photos has an outcome."""
        return self.done + self.failed > 0


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


async def announce_shards(
    connection: AsyncConnection, run: Run, announced: Sequence[Shard], *, epoch: int, repeat: bool = False
) -> None:
    """Announce what the catalogue holds of shards: after a lost stream, or an outcome that no worker reported.

    The stream keeps one of the same announcements under the same epoch, unless it is a ``repeat``.
    """
    for first in range(0, len(announced), _ANNOUNCED_AT_ONCE):
        some = announced[first : first + _ANNOUNCED_AT_ONCE]
        await lifecycle.put_into_outbox(
            connection, [_announcement(run, shard, epoch=epoch, repeat=repeat) for shard in some]
        )


def _announcement(run: Run, shard: Shard, *, epoch: int, repeat: bool) -> lifecycle.Announcement:
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
    return lifecycle.Announcement(event=event, message_id=message_id)
