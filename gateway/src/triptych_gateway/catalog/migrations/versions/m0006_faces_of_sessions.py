"""How many faces in a session's photos are in groups and of persons: one row a session, for lists of sessions."""

import sqlalchemy as sa
from alembic import op

from triptych_gateway.catalog.migrations.versions.m0005_persons_of_sessions import ADD_SESSION_FACES

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_BEFORE = ADD_SESSION_FACES.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
# As in 0005, and the totals besides; whoever writes them holds the lock that 0005 says.
_ADD = _BEFORE.replace(
    "END $$",
    """
    INSERT INTO session_faces AS kept (session_id, in_groups, of_persons)
    SELECT session_id, coalesce(sum(change) FILTER (WHERE group_id IS NOT NULL), 0),
        coalesce(sum(change) FILTER (WHERE person_id IS NOT NULL), 0)
    FROM unnest(sessions_of, groups_of, persons_of, changes) AS c(session_id, group_id, person_id, change)
    WHERE coalesce(group_id, person_id) IS NOT NULL GROUP BY session_id ORDER BY session_id
    ON CONFLICT (session_id) DO UPDATE
    SET in_groups = kept.in_groups + excluded.in_groups, of_persons = kept.of_persons + excluded.of_persons;
    DELETE FROM session_faces WHERE in_groups + of_persons = 0;
END $$""",
)


def upgrade() -> None:
    op.create_table(
        "session_faces",
        sa.Column("session_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("in_groups", sa.BigInteger(), nullable=False),
        sa.Column("of_persons", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name="pk_session_faces"),
    )
    op.create_index(
        "ix_session_faces_gone", "session_faces", ["session_id"], postgresql_where=sa.text("in_groups + of_persons = 0")
    )
    op.execute("""
        INSERT INTO session_faces (session_id, in_groups, of_persons)
        SELECT session_id, sum(in_groups), sum(of_persons) FROM (
            SELECT session_id, face_count AS in_groups, 0 AS of_persons FROM session_groups
            UNION ALL SELECT session_id, 0, face_count FROM session_persons) c
        GROUP BY session_id""")
    op.execute(_ADD)


def downgrade() -> None:
    op.execute(_BEFORE)
    op.drop_table("session_faces")
