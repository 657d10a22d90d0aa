"""The buttons of a session: start, pause, resume, cancel, and the restarts of its phases.

Each locks the lease and then the session's row, in the order in which a run's own writes do, so that two browsers, and
a gateway that is at work, wait for each other. A button that was pressed already does nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Row, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_common.progress.events import PHASES_BY_NAME
from triptych_common.tracing import current_traceparent
from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.runs import generations, leases, lifecycle
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.schema import LIVE_GENERATION, runs, sessions
from triptych_gateway.catalog.states import Button, NotAllowedError, SessionStatus, press

Phase = Literal["training", "face_detection", "clustering"]
RESTART_BUTTONS: Final[Mapping[Phase, Button]] = {
    "training": "restart-training",
    "face_detection": "restart-faces",
    "clustering": "restart-clustering",
}

Operation = Literal["restart_training", "restart_faces", "restart_clustering"]
RESTART_OPERATIONS: Final[Mapping[Phase, Operation]] = {
    "training": "restart_training",
    "face_detection": "restart_faces",
    "clustering": "restart_clustering",
}


@dataclass(frozen=True, kw_only=True)
class Restarted:
    """What the restart of a phase came to."""

    items_reset: int
    """Photos (clustering: faces) to be worked on again."""
    items_preserved: int
    """Photos with a result that stays and is not made again."""


async def start_session(connection: AsyncConnection, session_id: int) -> SessionStatus:
    """Set a session going, or let it go on with what is left.

    A failed session gets a new run of the phase that failed, and so does a cancelled one if photos of its cancelled
    phase are to be tried again. Raises NotFoundError, and NotAllowedError for a completed
    one.
    """
    return await _go_on(connection, session_id, "start")


async def resume_session(connection: AsyncConnection, session_id: int) -> SessionStatus:
    """Let a paused session go on where it stood. Raises NotFoundError and NotAllowedError."""
    return await _go_on(connection, session_id, "resume")


async def pause_session(connection: AsyncConnection, session_id: int) -> SessionStatus:
    """Halt a session: whoever runs it may write no more from now on. Raises NotFoundError and NotAllowedError."""
    return await _halt(connection, session_id, "pause")


async def cancel_session(connection: AsyncConnection, session_id: int) -> SessionStatus:
    """End a session and leave what is done. Raises NotFoundError and NotAllowedError."""
    return await _halt(connection, session_id, "cancel")


async def restart_phase(
    connection: AsyncConnection,
    session_id: int,
    phase: Phase,
    *,
    failed_only: bool = False,
    forget_persons: bool = False,
) -> Restarted:
    """Begin a new run of a phase, and set those after it to pending.

    The new results are written beside the old ones, which are shown until the new ones are whole. With ``failed_only``
    only photos that failed are tried again. With ``forget_persons`` the clustering makes the persons of the session's
    photos anew. Raises NotFoundError; NotAllowedError, also where a phase before it is not completed.
    """
    row = await lock_session(connection, session_id)
    press(row.status, RESTART_BUTTONS[phase])
    await lifecycle.add_missing_runs(connection, session_id)
    latest = await lifecycle.latest_runs(connection, session_id)
    phases = list(PHASES_BY_NAME)
    _check_phases_before(row.status, phase, latest)
    for later in phases[phases.index(phase) :]:
        await generations.abandon(connection, latest[later])
    old = latest[phase]
    kept = old.skipped + old.done if failed_only else 0
    generation = LIVE_GENERATION if failed_only or phase == "clustering" else await generations.new(connection)
    await _new_run(connection, old, generation=generation, skipped=kept, total=old.total)
    for later in phases[phases.index(phase) + 1 :]:
        await _new_run(connection, latest[later], generation=LIVE_GENERATION, skipped=0, total=latest[later].total)
    if forget_persons:
        await connection.execute(
            text("""
                UPDATE runs SET forgets_persons = true
                WHERE session_id = :id AND phase = 'clustering' AND status = 'pending'"""),
            {"id": session_id},
        )
    await _set_going(connection, session_id, is_restart=True)
    return Restarted(items_reset=old.total - kept, items_preserved=kept)


def _check_phases_before(status: SessionStatus, phase: Phase, latest: Mapping[str, Run]) -> None:
    for before in PHASES_BY_NAME:
        if before == phase:
            return
        if latest[before].status != "completed":
            raise NotAllowedError(
                f"The phase {before} is not completed: start the session, which goes on with what is left.",
                status=status,
                allowed=("start",),
            )


async def lock_session(connection: AsyncConnection, session_id: int) -> Row[Any]:
    """The session's row, locked after its lease. Raises NotFoundError."""
    await connection.execute(
        text("SELECT 1 FROM leases WHERE session_id = :session_id FOR UPDATE"), {"session_id": session_id}
    )
    row = (
        await connection.execute(select(sessions.c.status).where(sessions.c.id == session_id).with_for_update())
    ).first()
    if row is None:
        raise NotFoundError(f"There is no session {session_id}.")
    return row


async def _go_on(connection: AsyncConnection, session_id: int, button: Literal["start", "resume"]) -> SessionStatus:
    row = await lock_session(connection, session_id)
    press(row.status, button)
    if row.status == "running":
        return "running"
    await lifecycle.add_missing_runs(connection, session_id)
    if row.status == "failed":
        await lifecycle.renew_runs_from_failed(connection, session_id)
    elif row.status == "cancelled":
        await lifecycle.renew_runs_to_retry(connection, session_id)
    for run in (await lifecycle.latest_runs(connection, session_id)).values():
        if run.status in ("paused", "cancelled"):
            await lifecycle.update_run(connection, run.id, status="running", completed_at=None)
    await _set_going(connection, session_id, is_restart=False)
    return "running"


async def _set_going(connection: AsyncConnection, session_id: int, *, is_restart: bool) -> None:
    # A restart is timed from its own beginning, and what is known of durations is gathered anew.
    beginning: dict[str, Any] = (
        {"prepared_at": None, "started_at": func.now()}
        if is_restart
        else {"started_at": func.coalesce(sessions.c.started_at, func.now())}
    )
    await connection.execute(
        update(sessions)
        .where(sessions.c.id == session_id)
        .values(
            status="running",
            error_code=None,
            error_message=None,
            paused_at=None,
            completed_at=None,
            updated_at=lifecycle.NEXT_MOMENT,
            traceparent=current_traceparent() or None,
            **beginning,
        )
    )
    await lifecycle.announce_all(connection, session_id)


async def _halt(connection: AsyncConnection, session_id: int, button: Literal["pause", "cancel"]) -> SessionStatus:
    row = await lock_session(connection, session_id)
    status: SessionStatus = "paused" if button == "pause" else "cancelled"
    if press(row.status, button) == row.status:
        return status
    await leases.revoke(connection, session_id)
    moment = sessions.c.paused_at if button == "pause" else sessions.c.completed_at
    await connection.execute(
        update(sessions)
        .where(sessions.c.id == session_id)
        .values({sessions.c.status: status, moment: func.now(), sessions.c.updated_at: lifecycle.NEXT_MOMENT})
    )
    for run in (await lifecycle.latest_runs(connection, session_id)).values():
        if run.status == "running" or (run.status == "paused" and button == "cancel"):
            ended = {"completed_at": func.now()} if button == "cancel" else {}
            await lifecycle.update_run(connection, run.id, status=status, **ended)
    return status


async def _new_run(connection: AsyncConnection, old: Run, *, generation: int, skipped: int, total: int) -> None:
    """A pending run after another; one that has not begun yet takes its place as it is."""
    values = {"generation": generation, "skipped": skipped, "total": total if old.phase != "clustering" else 0}
    if old.status == "pending":
        await connection.execute(update(runs).where(runs.c.id == old.id).values(**values))
        return
    await connection.execute(
        insert(runs).values(
            session_id=old.session_id,
            phase=old.phase,
            number=old.number + 1,
            shard_size=old.shard_size,
            evidence=dict(old.evidence),
            **values,
        )
    )
