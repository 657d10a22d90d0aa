"""How long phases took on this installation: what an ETA starts from."""

from typing import Final

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.schema import phase_history

RECENT_RUNS: Final = 5
"""Runs that count; older ones may be of another machine's speed."""


async def record(
    connection: AsyncConnection, *, phase: str, model_id: str, device: str, items: int, seconds: float
) -> None:
    """Remember how long a phase took for so many items of work."""
    if items > 0 and seconds > 0:
        await connection.execute(
            insert(phase_history).values(phase=phase, model_id=model_id, device=device, items=items, seconds=seconds)
        )


async def seconds_per_item(connection: AsyncConnection, *, phase: str, model_id: str, device: str) -> float:
    """Seconds per item over the recent runs of a phase with this model and device; 0 where there were none."""
    value = (
        await connection.execute(
            text("""
                SELECT sum(seconds) / sum(items) FROM (
                    SELECT seconds, items FROM phase_history
                    WHERE phase = :phase AND model_id = :model_id AND device = :device
                    ORDER BY finished_at DESC LIMIT :recent) AS recent"""),
            {"phase": phase, "model_id": model_id, "device": device, "recent": RECENT_RUNS},
        )
    ).scalar()
    return float(value or 0.0)
