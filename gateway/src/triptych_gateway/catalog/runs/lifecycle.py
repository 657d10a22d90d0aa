"""The life of runs: their rows, and the lifecycle events that leave through the outbox.

Each change and its event are written in one transaction. Events of a session carry a step that only grows, so they can
be ordered whichever way they travel.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import Row, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych.v1 import progress_event_pb2
from triptych_common.progress.events import PHASES_BY_NAME, subject_of
from triptych_common.progress.evidence import evidence_from_json, evidence_to_wire
from triptych_common.progress.publisher import WORKER
from triptych_common.tracing import current_traceparent
from triptych_gateway.catalog.schema import outbox, runs, sessions
from triptych_gateway.catalog.states import RunStatus, statuses_before

_WireState: TypeAlias = "progress_event_pb2.RunState.ValueType"

DEFAULT_SHARD_SIZE: Final = 64
"""Photos per shard where nobody says otherwise."""

_STATES: Final[dict[str, _WireState]] = {
    "pending": progress_event_pb2.RUN_STATE_PENDING,
    "running": progress_event_pb2.RUN_STATE_RUNNING,
    "paused": progress_event_pb2.RUN_STATE_PAUSED,
    "completed": progress_event_pb2.RUN_STATE_COMPLETED,
    "failed": progress_event_pb2.RUN_STATE_FAILED,
    "cancelled": progress_event_pb2.RUN_STATE_CANCELLED,
}


class ImpossibleTransitionError(Exception):
    """A run was to change to a status that its present one does not lead to: a defect."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One execution of a phase."""

    id: int
    session_id: int
    phase: str
    number: int
    status: RunStatus
    generation: int
    model: Mapping[str, Any] | None
    """id, pack, device and notice of the model at work; None before the run begins."""
    shard_size: int
    total: int
    skipped: int
    done: int
    failed: int
    found: int
    """Faces found (face detection), groups made (clustering); 0 for training."""
    renewed: int
    """Photos that have a result of another model only."""
    forgets_persons: bool
    """Of clustering: whether the session's persons are made anew rather than recognised."""
    evidence: Mapping[str, Any]
    """What is known of its duration, as `evidence_to_json` writes it."""
    error_code: str | None
    error_message: str | None
    started_at: datetime | None
    completed_at: datetime | None


NEXT_MOMENT: Final = func.greatest(
    func.clock_timestamp(), sessions.c.updated_at + text("interval '1 microsecond'"), type_=sessions.c.updated_at.type
)
"""A session's next ``updated_at``: now, and later than the one before, also where clocks and transactions disagree."""


def _run(row: Row[Any]) -> Run:
    return Run(**dict(row._mapping))


async def latest_runs(connection: AsyncConnection, session_id: int) -> dict[str, Run]:
    """The latest run of each phase, by phase; an old session may lack some."""
    other = runs.alias()
    latest = select(func.max(other.c.number)).where(
        other.c.session_id == runs.c.session_id, other.c.phase == runs.c.phase
    )
    rows = await connection.execute(
        select(runs).where(runs.c.session_id == session_id, runs.c.number == latest.scalar_subquery())
    )
    return {row.phase: _run(row) for row in rows}


async def latest_runs_of(connection: AsyncConnection, session_ids: Collection[int]) -> dict[int, dict[str, Run]]:
    """The latest run of each phase, by phase, of several sessions."""
    rows = await connection.execute(
        select(runs)
        .where(runs.c.session_id.in_(list(session_ids)))
        .ext(distinct_on(runs.c.session_id, runs.c.phase))
        .order_by(runs.c.session_id, runs.c.phase, runs.c.number.desc())
    )
    found: dict[int, dict[str, Run]] = {}
    for row in rows:
        found.setdefault(row.session_id, {})[row.phase] = _run(row)
    return found


async def has_begun(connection: AsyncConnection, session_id: int) -> bool:
    """Whether any run of the session has ever begun."""
    begun = select(runs.c.id).where(runs.c.session_id == session_id, runs.c.started_at.is_not(None)).limit(1)
    return (await connection.execute(begun)).first() is not None


async def update_run(connection: AsyncConnection, run_id: int, **values: Any) -> Run:
    """Change a run's row, mark its session as changed, announce it, and return the run as it is now.

    Raises ImpossibleTransitionError for a status to which none leads from the present one.
    """
    condition = runs.c.id == run_id
    if "status" in values:
        condition &= runs.c.status.in_(statuses_before(values["status"]))
    row = (await connection.execute(update(runs).where(condition).values(**values).returning(runs))).first()
    if row is None:
        raise ImpossibleTransitionError(f"run {run_id} cannot become {values.get('status')}")
    run = _run(row)
    await announce(connection, run)
    return run


async def renew_runs_from_failed(connection: AsyncConnection, session_id: int) -> None:
    """Give the failed phase and those after it a new pending run of the same generation.

    The new run of a phase of photos counts from its beginning what the former one has done, so that the bar stands
    where it stood; when the run begins, what needs no work is counted anew.
    """
    await _renew_runs(connection, session_id, first=lambda run: run.status == "failed")


async def renew_runs_to_retry(connection: AsyncConnection, session_id: int) -> None:
    """Likewise from a cancelled phase that failed on photos which are to be tried again.

    Without such photos the cancelled run itself can go on.
    """
    rows = await connection.execute(
        text("""
            SELECT DISTINCT error_phase FROM session_assets
            WHERE session_id = :session_id AND status = 'pending' AND error_phase IS NOT NULL"""),
        {"session_id": session_id},
    )
    phases = {row.error_phase for row in rows}
    await _renew_runs(connection, session_id, first=lambda run: run.status == "cancelled" and run.phase in phases)


async def renew_runs_from_cancelled(connection: AsyncConnection, session_id: int) -> None:
    """Likewise from the cancelled phase: some photos of its run are not there any more, so it cannot go on as it is."""
    await _renew_runs(connection, session_id, first=lambda run: run.status == "cancelled")


async def _renew_runs(connection: AsyncConnection, session_id: int, *, first: Callable[[Run], bool]) -> None:
    latest = await latest_runs(connection, session_id)
    renewing = False
    for phase in PHASES_BY_NAME:
        run = latest.get(phase)
        if run is None:
            continue
        renewing = renewing or first(run)
        if renewing and run.status != "pending":
            await connection.execute(
                insert(runs).values(
                    session_id=session_id,
                    phase=phase,
                    number=run.number + 1,
                    generation=run.generation,
                    shard_size=run.shard_size,
                    total=run.total if phase != "clustering" else 0,
                    skipped=run.skipped + run.done if phase != "clustering" else 0,
                    evidence=dict(run.evidence),
                )
            )


async def add_missing_runs(connection: AsyncConnection, session_id: int) -> None:
    """Give an old session, which has no row for some phase, a pending first run of it."""
    latest = await latest_runs(connection, session_id)
    missing = [phase for phase in PHASES_BY_NAME if phase not in latest]
    shard_size = max((run.shard_size for run in latest.values()), default=DEFAULT_SHARD_SIZE)
    if missing:
        await connection.execute(
            insert(runs),
            [{"session_id": session_id, "phase": phase, "number": 1, "shard_size": shard_size} for phase in missing],
        )


async def announce_all(connection: AsyncConnection, session_id: int) -> None:
    """Announce the latest run of every phase as it stands: heals an aggregator that has lost its stream."""
    for run in (await latest_runs(connection, session_id)).values():
        await announce(connection, run)


async def announce(connection: AsyncConnection, run: Run) -> None:
    """Put the run's present state into the outbox, under the session's next step."""
    row = (
        await connection.execute(
            update(sessions)
            .where(sessions.c.id == run.session_id)
            .values(lifecycle_step=sessions.c.lifecycle_step + 1, updated_at=NEXT_MOMENT)
            .returning(sessions.c.lifecycle_step, sessions.c.weights)
        )
    ).one()
    epoch = (
        await connection.execute(
            text("SELECT epoch FROM leases WHERE session_id = :session_id"), {"session_id": run.session_id}
        )
    ).scalar()
    event = progress_event_pb2.ProgressEvent(
        session_id=run.session_id,
        phase=PHASES_BY_NAME[run.phase],
        run=run.number,
        source="pipeline",
        lifecycle=progress_event_pb2.Lifecycle(
            epoch=epoch or 0,
            step=row.lifecycle_step,
            state=_STATES[run.status],
            total=run.total,
            skipped=run.skipped,
            weight=row.weights[run.phase],
            evidence=evidence_to_wire(evidence_from_json(run.evidence)),
        ),
        worker=WORKER,
    )
    if run.error_code is not None:
        event.lifecycle.error.code = run.error_code
        event.lifecycle.error.message = run.error_message or ""
    event.reported_at.GetCurrentTime()
    announcement = Announcement(event=event, message_id=f"{run.session_id}.step.{row.lifecycle_step}")
    await put_into_outbox(connection, [announcement])


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """An event that is to be published."""

    event: progress_event_pb2.ProgressEvent
    message_id: str
    """The stream drops repeats of it."""


async def put_into_outbox(connection: AsyncConnection, announcements: Sequence[Announcement]) -> None:
    """Have events published, in this order, once the transaction is committed."""
    traceparent = current_traceparent()
    for one in announcements:
        one.event.traceparent = traceparent
    await connection.execute(
        insert(outbox),
        [
            {
                "subject": subject_of(one.event.session_id, one.event.phase),
                "message_id": one.message_id,
                "payload": one.event.SerializeToString(),
            }
            for one in announcements
        ],
    )
