"""Counters of persons, groups and sessions, counted anew where so much changes that triggers would take longer."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def stop_counting(connection: AsyncConnection) -> None:
    """Let the triggers of `face_places` rest until the transaction ends, or counting goes on."""
    await connection.execute(text("SET LOCAL triptych.counting = 'off'"))


async def go_on_counting(connection: AsyncConnection) -> None:
    """Let the triggers count what changes from here on: whatever changed before is to be counted by `recount`."""
    await connection.execute(text("SET LOCAL triptych.counting = 'on'"))


async def recount(connection: AsyncConnection) -> None:
    """Count what the triggers count otherwise, and let them go on."""
    for statement in (
        """UPDATE persons p SET face_count = coalesce(c.faces, 0), asset_count = coalesce(c.assets, 0),
               updated_at = now()
           FROM persons q LEFT JOIN (
               SELECT person_id, count(*) AS faces, count(DISTINCT asset_id) AS assets
               FROM face_places WHERE shown AND person_id IS NOT NULL GROUP BY person_id) c ON c.person_id = q.id
           WHERE q.id = p.id
           AND (p.face_count, p.asset_count) IS DISTINCT FROM (coalesce(c.faces, 0), coalesce(c.assets, 0))""",
        """UPDATE groups g SET face_count = coalesce(c.faces, 0)
           FROM groups h LEFT JOIN (
               SELECT group_id, count(*) AS faces FROM face_places WHERE shown AND group_id IS NOT NULL
               GROUP BY group_id) c ON c.group_id = h.id
           WHERE h.id = g.id AND g.face_count <> coalesce(c.faces, 0)""",
        """UPDATE clusterings k SET unassigned_count = (
               SELECT count(*) FROM face_places p
               WHERE p.clustering_id = k.id AND p.group_id IS NULL AND p.person_id IS NULL AND p.shown)""",
        "DELETE FROM session_persons",
        """INSERT INTO session_persons (session_id, person_id, face_count)
           SELECT s.session_id, p.person_id, count(*)
           FROM face_places p JOIN session_assets s ON s.asset_id = p.asset_id
           WHERE p.shown AND p.person_id IS NOT NULL GROUP BY s.session_id, p.person_id""",
        "DELETE FROM session_groups",
        """INSERT INTO session_groups (session_id, group_id, face_count)
           SELECT s.session_id, p.group_id, count(*)
           FROM face_places p JOIN session_assets s ON s.asset_id = p.asset_id
           WHERE p.shown AND p.group_id IS NOT NULL GROUP BY s.session_id, p.group_id""",
        "DELETE FROM session_faces",
        """INSERT INTO session_faces (session_id, in_groups, of_persons)
           SELECT session_id, sum(in_groups), sum(of_persons) FROM (
               SELECT session_id, face_count AS in_groups, 0 AS of_persons FROM session_groups
               UNION ALL SELECT session_id, 0, face_count FROM session_persons) c
           GROUP BY session_id""",
    ):
        await connection.execute(text(statement))
    await go_on_counting(connection)
