"""Has a run of photos begin: its photos get their places, in transactions that hold no button up."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_common.models.description import ModelInfo
from triptych_common.progress.evidence import Evidence, evidence_from_json, evidence_to_json
from triptych_gateway.catalog.clustering.face_space import count_session_faces
from triptych_gateway.catalog.runs import history, lifecycle, planning
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.schema import LIVE_GENERATION
from triptych_gateway.pipeline.ownership import OwnedSession


async def begin_run(session: OwnedSession, run: Run, model: ModelInfo) -> Run:
    """Plan a run that has not begun, and have it begin; returns it as it is then.

    A button that is pressed meanwhile waits for a slice of jobs at most. Then the lease is gone and the run is not
    planned; what was written of its places is rolled back, and whoever goes on plans it anew.

    Raises LeaseLostError, and what a lost database raises.
    """
    async with session.connected() as connection:
        async with connection.begin():
            # What other sessions store meanwhile is seen in whole or not at all.
            await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            order = await planning.put_in_order(connection, run, model_id=model.model_id)
        for first in range(0, order.job_changes, planning.JOBS_SLICE):
            async with session.write_over(connection):
                await planning.change_jobs(connection, first=first)
        async with connection.begin():
            await planning.assign_items(connection, run, items=order.items)
            changes = await _as_it_begins(connection, run, model, items=order.items)
            await planning.forget_order(connection)
            await session.check(connection)
            return await lifecycle.update_run(connection, run.id, **changes)


async def _as_it_begins(connection: AsyncConnection, run: Run, model: ModelInfo, *, items: int) -> Mapping[str, Any]:
    """The run's columns."""
    total = await planning.count_photos(connection, run)
    return {
        "status": "running",
        "total": total,
        "skipped": total - items,
        "renewed": await planning.count_renewed(connection, run, model_id=model.model_id),
        "model": _describe(model),
        "started_at": func.now(),
        "evidence": await _evidence(connection, run, model),
        # A restart begins to count anew: what it replaces is not added to what it finds.
        "found": await count_found(connection, run, model) if run.generation == LIVE_GENERATION else 0,
    }


async def _evidence(connection: AsyncConnection, run: Run, model: ModelInfo) -> dict[str, Any]:
    """What is known of the run's duration now: its total says how much work there is."""
    prepared = evidence_from_json(run.evidence)
    known = await history.recent(connection, phase=run.phase, model_id=model.model_id, device=model.device)
    return evidence_to_json(Evidence(history=known, probe=prepared.probe))


async def count_found(connection: AsyncConnection, run: Run, model: ModelInfo) -> int:
    """Faces of this model in the session's photos; 0 for a phase that looks for none."""
    if run.phase != "face_detection":
        return 0
    return await count_session_faces(connection, run.session_id, model_id=model.model_id, generation=run.generation)


def _describe(model: ModelInfo) -> dict[str, Any]:
    return {
        "id": model.model_id,
        "name": model.display_name,
        "pack": model.pack,
        "device": model.device,
        "notice": model.notice or None,
        "licence": model.licence,
    }
