"""How long phases took on this installation: what an ETA starts from."""

from typing import Final, Literal

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_common.progress.evidence import Timing
from triptych_gateway.catalog.schema import phase_history

Method = Literal["full", "incremental"]
"""How faces were grouped; phases of photos know only the first."""
RECENT_RUNS: Final = 8
"""Runs that count; older ones may be of another machine's speed."""
LEAST_ITEMS: Final = 5
"""Runs of fewer items say more about beginning and ending than about the pace."""


async def record(
    connection: AsyncConnection,
    *,
    phase: str,
    model_id: str,
    device: str,
    items: int,
    seconds: float,
    method: Method = "full",
) -> None:
    """Remember how long a phase took for so many items of work: seconds of work, without pauses and outages."""
    if items >= LEAST_ITEMS and seconds > 0:
        await connection.execute(
            insert(phase_history).values(
                phase=phase, model_id=model_id, device=device, items=items, seconds=seconds, method=method
            )
        )


async def recent(
    connection: AsyncConnection, *, phase: str, model_id: str, device: str, method: Method = "full"
) -> tuple[Timing, ...]:
    """The recent runs of a phase with this model and device, by this method, newest first."""
    rows = await connection.execute(
        select(phase_history)
        .where(
            phase_history.c.phase == phase,
            phase_history.c.model_id == model_id,
            phase_history.c.device == device,
            phase_history.c.method == method,
        )
        .order_by(phase_history.c.finished_at.desc(), phase_history.c.id.desc())
        .limit(RECENT_RUNS)
    )
    return tuple(Timing(float(row.items), row.seconds) for row in rows)
