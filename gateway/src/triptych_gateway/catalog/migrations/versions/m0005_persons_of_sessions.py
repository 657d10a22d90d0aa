"""Which persons and groups have faces in a session's photos, counted: a large session has too many photos to look."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLES = {"session_persons": "person_id", "session_groups": "group_id"}

# The end of a clustering writes every row anew: it counts once itself, and says so.
_COUNTING = "current_setting('triptych.counting', true) IS DISTINCT FROM 'off'"

# A row goes with its last face: so it needs no reference to session, group or person, which would have to be checked
# for each. Rows are written in the order of their keys, so that two writers do not lock each other out.
ADD_SESSION_FACES = """
CREATE FUNCTION add_session_faces(
    sessions_of bigint[], groups_of bigint[], persons_of bigint[], changes bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO session_persons AS kept (session_id, person_id, face_count)
    SELECT session_id, person_id, sum(change)
    FROM unnest(sessions_of, persons_of, changes) AS c(session_id, person_id, change)
    WHERE person_id IS NOT NULL GROUP BY session_id, person_id HAVING sum(change) <> 0 ORDER BY session_id, person_id
    ON CONFLICT (session_id, person_id) DO UPDATE SET face_count = kept.face_count + excluded.face_count;
    DELETE FROM session_persons WHERE face_count = 0;
    INSERT INTO session_groups AS kept (session_id, group_id, face_count)
    SELECT session_id, group_id, sum(change)
    FROM unnest(sessions_of, groups_of, changes) AS c(session_id, group_id, change)
    WHERE group_id IS NOT NULL GROUP BY session_id, group_id HAVING sum(change) <> 0 ORDER BY session_id, group_id
    ON CONFLICT (session_id, group_id) DO UPDATE SET face_count = kept.face_count + excluded.face_count;
    DELETE FROM session_groups WHERE face_count = 0;
END $$
"""

# Whoever changes places holds their lock (`catalog.database.PLACES_LOCK`), and sees every session's photos.
_COUNT_PLACES = """
CREATE FUNCTION count_session_places() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE sessions_of bigint[]; groups_of bigint[]; persons_of bigint[]; changes bigint[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(s.session_id), array_agg(r.group_id), array_agg(r.person_id), array_agg(1)
        INTO sessions_of, groups_of, persons_of, changes
        FROM new_rows r JOIN session_assets s ON s.asset_id = r.asset_id WHERE r.shown;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(s.session_id), array_agg(r.group_id), array_agg(r.person_id), array_agg(-1)
        INTO sessions_of, groups_of, persons_of, changes
        FROM old_rows r JOIN session_assets s ON s.asset_id = r.asset_id WHERE r.shown;
    ELSE
        SELECT array_agg(s.session_id), array_agg(r.group_id), array_agg(r.person_id), array_agg(r.change)
        INTO sessions_of, groups_of, persons_of, changes
        FROM (SELECT *, 1 AS change FROM new_rows UNION ALL SELECT *, -1 FROM old_rows) r
        JOIN session_assets s ON s.asset_id = r.asset_id WHERE r.shown;
    END IF;
    IF changes IS NOT NULL THEN
        PERFORM add_session_faces(sessions_of, groups_of, persons_of, changes);
    END IF;
    RETURN NULL;
END $$
"""

# A session's photos change while places stand still: the lock is shared, so that sessions do not wait for each other.
_COUNT_PHOTOS = """
CREATE FUNCTION count_session_photo_places() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE sessions_of bigint[]; groups_of bigint[]; persons_of bigint[]; changes bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7201003);
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(r.session_id), array_agg(p.group_id), array_agg(p.person_id), array_agg(1)
        INTO sessions_of, groups_of, persons_of, changes
        FROM new_rows r JOIN face_places p ON p.asset_id = r.asset_id WHERE p.shown;
    ELSE
        SELECT array_agg(r.session_id), array_agg(p.group_id), array_agg(p.person_id), array_agg(-1)
        INTO sessions_of, groups_of, persons_of, changes
        FROM old_rows r JOIN face_places p ON p.asset_id = r.asset_id WHERE p.shown;
    END IF;
    IF changes IS NOT NULL THEN
        PERFORM add_session_faces(sessions_of, groups_of, persons_of, changes);
    END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    for table, column in _TABLES.items():
        op.create_table(
            table,
            sa.Column("session_id", sa.BigInteger(), nullable=False),
            sa.Column(column, sa.BigInteger(), nullable=False),
            sa.Column("face_count", sa.BigInteger(), nullable=False),
            sa.PrimaryKeyConstraint("session_id", column, name=f"pk_{table}"),
        )
        op.execute(f"""
            INSERT INTO {table} (session_id, {column}, face_count)
            SELECT s.session_id, p.{column}, count(*)
            FROM face_places p JOIN session_assets s ON s.asset_id = p.asset_id
            WHERE p.shown AND p.{column} IS NOT NULL GROUP BY s.session_id, p.{column}""")  # noqa: S608 - constants
        op.create_index(f"ix_{table}_gone", table, ["session_id"], postgresql_where=sa.text("face_count = 0"))
    # Pages of problems come in the order in which they were found.
    op.create_index("ix_session_problems_order", "session_problems", ["session_id", "id"])
    op.drop_index("ix_session_problems_session_id", table_name="session_problems")
    for definition in (ADD_SESSION_FACES, _COUNT_PLACES, _COUNT_PHOTOS):
        op.execute(definition)
    new, old = "NEW TABLE AS new_rows", "OLD TABLE AS old_rows"
    for event, rows in {"INSERT": new, "UPDATE": f"{old} {new}", "DELETE": old}.items():
        op.execute(f"""
            CREATE TRIGGER face_places_{event.lower()}_of_sessions AFTER {event} ON face_places REFERENCING {rows}
            FOR EACH STATEMENT WHEN ({_COUNTING}) EXECUTE FUNCTION count_session_places()""")
    for event, rows in {"INSERT": new, "DELETE": old}.items():
        op.execute(f"""
            CREATE TRIGGER session_assets_{event.lower()}_places AFTER {event} ON session_assets REFERENCING {rows}
            FOR EACH STATEMENT EXECUTE FUNCTION count_session_photo_places()""")


def downgrade() -> None:
    for function in ("count_session_photo_places", "count_session_places", "add_session_faces"):
        op.execute(f"DROP FUNCTION {function} CASCADE")
    op.create_index("ix_session_problems_session_id", "session_problems", ["session_id"])
    op.drop_index("ix_session_problems_order", table_name="session_problems")
    for table in _TABLES:
        op.drop_table(table)
