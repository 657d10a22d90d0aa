"""What a person changes of a session besides pressing its buttons: its name, its config, photos to try again, its end.

Each locks as the buttons do (`control`): the lease, then the session's row, then places, then the rest.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.people import places
from triptych_gateway.catalog.runs import generations, lifecycle
from triptych_gateway.catalog.schema import runs, session_assets, sessions
from triptych_gateway.catalog.sessions import control
from triptych_gateway.catalog.sessions.jobs import Job, get_job
from triptych_gateway.catalog.sessions.sessions import Session, get_session
from triptych_gateway.catalog.states import NotAllowedError, allowed_buttons, press


async def change_session(
    connection: AsyncConnection,
    session_id: int,
    *,
    name: str | None,
    config: Mapping[str, Any],
    default_shard_size: int,
) -> Session:
    """Give a session another name (None: the present one), and change what its config names; the rest of it stays.

    Raises NotFoundError; NotAllowedError where the config would become another one and the session was started.
    """
    row = await control.lock_session(connection, session_id)
    session = await get_session(connection, session_id)
    values: dict[str, Any] = {} if name is None else {"name": name}
    changed = {key: value for key, value in config.items() if session.config.get(key) != value}
    if changed:
        if row.status != "pending":
            raise NotAllowedError(
                f"The config of a {row.status} session cannot change; only one that was not started yet can.",
                status=row.status,
                allowed=allowed_buttons(row.status),
            )
        values["config"] = {**session.config, **changed}
    if "batch_size" in changed:
        shard_size = changed["batch_size"] or default_shard_size
        await connection.execute(update(runs).where(runs.c.session_id == session_id).values(shard_size=shard_size))
    if values:
        await connection.execute(update(sessions).where(sessions.c.id == session_id).values(**values))
    return await get_session(connection, session_id)


async def delete_session(connection: AsyncConnection, session_id: int) -> None:
    """Remove a session with its jobs and runs, and what it wrote that was never shown.

    Photos, what is shown of them, and persons stay. Raises NotFoundError; NotAllowedError while it runs.
    """
    row = await control.lock_session(connection, session_id)
    press(row.status, "delete")
    # Before the deletion locks the clustering that was made last by this session, which another one may be renewing.
    await places.hold_still(connection)
    for run in (await lifecycle.latest_runs(connection, session_id)).values():
        await generations.abandon(connection, run)
    await connection.execute(delete(sessions).where(sessions.c.id == session_id))


async def retry_job(connection: AsyncConnection, session_id: int, job_id: int) -> Job:
    """Have a photo that failed tried again in the session's next run.

    Raises NotFoundError, also for a job of another session; NotAllowedError for a photo that did not fail.
    """
    await control.lock_session(connection, session_id)
    this = (session_assets.c.id == job_id) & (session_assets.c.session_id == session_id)
    row = (await connection.execute(select(session_assets.c.status).where(this).with_for_update())).first()
    if row is None:
        raise NotFoundError(f"Session {session_id} has no job {job_id}.")
    if row.status != "failed":
        shown = (await get_job(connection, job_id)).status
        raise NotAllowedError(f"A {shown} job is not tried again; only a failed one is.", status=shown, allowed=())
    # The phase that failed on it stays, so that its next run knows the photo.
    await connection.execute(
        update(session_assets)
        .where(this)
        .values(status="pending", error_code=None, error_message=None, completed_at=None)
    )
    return await get_job(connection, job_id)
