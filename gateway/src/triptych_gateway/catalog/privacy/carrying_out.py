"""Carries a forgetting on, one transaction at a time, so that it can be interrupted anywhere and goes on."""

from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.privacy import forgettings, person_removal, photo_removal, session_removal


async def carry_on(connection: AsyncConnection, forgetting_id: int) -> bool:
    """Do the next part of a forgetting in the caller's transaction; whether it is done.

    Raises MustWaitError where it cannot go on now: then nothing is to be committed.
    """
    forgetting = await forgettings.get_forgetting(connection, forgetting_id)
    removed: dict[str, int] | None
    if forgetting.kind == "person":
        removed = await person_removal.remove_person(connection, forgetting.subject_id, keeps_out=forgetting.keeps_out)
        await forgettings.add_removed(connection, forgetting_id, removed)
        await forgettings.mark_done(connection, forgetting_id)
        return True
    if forgetting.kind == "session" and forgetting.sessions == 0:
        removed = await session_removal.remove_session(connection, forgetting_id, forgetting.subject_id)
        if removed is not None:
            await forgettings.add_removed(connection, forgetting_id, removed)
            return False
    removed = await photo_removal.remove_some(connection, forgetting_id, spares_used=forgetting.kind == "session")
    if removed is None:
        await forgettings.mark_done(connection, forgetting_id)
        return True
    await forgettings.add_removed(connection, forgetting_id, removed)
    return False
