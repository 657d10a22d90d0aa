"""Directories and their counters, jobs by status, chosen and ignored directories, generations, missing files."""

from urllib.parse import quote_from_bytes, unquote_to_bytes

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Counters are kept by triggers, one call per statement: whoever writes the rows, the counters are right.
_COUNT_JOBS = """
CREATE FUNCTION count_session_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO session_job_counts AS kept (session_id, status, count)
        SELECT session_id, status, count(*) FROM new_rows GROUP BY session_id, status ORDER BY session_id, status
        ON CONFLICT (session_id, status) DO UPDATE SET count = kept.count + excluded.count;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO session_job_counts AS kept (session_id, status, count)
        SELECT session_id, status, sum(change) FROM (
            SELECT session_id, status, 1 AS change FROM new_rows UNION ALL
            SELECT session_id, status, -1 FROM old_rows) changes
        GROUP BY session_id, status HAVING sum(change) <> 0 ORDER BY session_id, status
        ON CONFLICT (session_id, status) DO UPDATE SET count = kept.count + excluded.count;
    ELSE
        UPDATE session_job_counts kept SET count = kept.count - gone.count
        FROM (SELECT session_id, status, count(*) AS count FROM old_rows GROUP BY session_id, status) gone
        WHERE kept.session_id = gone.session_id AND kept.status = gone.status;
    END IF;
    RETURN NULL;
END $$
"""

# Directories are locked in the order of their ids, so that two sessions over the same ones do not lock each other out;
# and less than for a deletion, since both hold the lock of the foreign key that a new photo takes on its directory.
_COUNT_PHOTOS = """
CREATE FUNCTION count_directory_photos() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE ids bigint[]; photos bigint[]; trained bigint[]; moments timestamptz[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(id), array_agg(p), array_agg(t), array_agg(m) INTO ids, photos, trained, moments FROM (
            SELECT directory_id AS id, count(*) AS p, count(trained_at) AS t, max(trained_at) AS m
            FROM new_rows WHERE missing_at IS NULL AND directory_id IS NOT NULL GROUP BY directory_id) changes;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(id), array_agg(p), array_agg(t), array_agg(m) INTO ids, photos, trained, moments FROM (
            SELECT directory_id AS id, -count(*) AS p, -count(trained_at) AS t, CAST(NULL AS timestamptz) AS m
            FROM old_rows WHERE missing_at IS NULL AND directory_id IS NOT NULL GROUP BY directory_id) changes;
    ELSE
        SELECT array_agg(id), array_agg(p), array_agg(t), array_agg(m) INTO ids, photos, trained, moments FROM (
            SELECT directory_id AS id, sum(one) AS p, sum(CASE WHEN trained_at IS NULL THEN 0 ELSE one END) AS t,
                max(trained_at) FILTER (WHERE one > 0) AS m
            FROM (SELECT directory_id, trained_at, missing_at, 1 AS one FROM new_rows UNION ALL
                  SELECT directory_id, trained_at, missing_at, -1 FROM old_rows) rows
            WHERE missing_at IS NULL AND directory_id IS NOT NULL GROUP BY directory_id
            HAVING sum(one) <> 0 OR sum(CASE WHEN trained_at IS NULL THEN 0 ELSE one END) <> 0) changes;
    END IF;
    PERFORM 1 FROM directories WHERE id = ANY(ids) ORDER BY id FOR NO KEY UPDATE;
    UPDATE directories d SET photo_count = d.photo_count + c.p, trained_count = d.trained_count + c.t,
        last_trained_at = greatest(d.last_trained_at, c.m)
    FROM unnest(ids, photos, trained, moments) AS c(id, p, t, m) WHERE d.id = c.id;
    RETURN NULL;
END $$
"""

# Paths are bytes: LATIN1 gives each byte one character, so that PostgreSQL's functions for text can be used.
_DIRECTORY = r"""convert_to(coalesce(nullif(
    regexp_replace(convert_from(a.path, 'LATIN1'), '/[^/]*$', ''), ''), '/'), 'LATIN1')"""


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    default = None if nullable else sa.func.now()
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def upgrade() -> None:
    _add_directories()
    _add_job_counts()
    _add_chosen_directories()
    op.create_table(
        "ignored_directories",
        _id(),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("ignored_by", sa.Text(), nullable=True),
        _moment("ignored_at"),
        sa.PrimaryKeyConstraint("id", name="pk_ignored_directories"),
        sa.UniqueConstraint("path", name="uq_ignored_directories_path"),
    )
    _add_category_indexes()
    op.add_column("sessions", sa.Column("photos_found", sa.BigInteger(), server_default="0", nullable=False))
    op.execute("""
        UPDATE sessions s SET photos_found = c.photos
        FROM (SELECT session_id, sum(count) AS photos FROM session_job_counts GROUP BY session_id) c
        WHERE c.session_id = s.id""")
    op.add_column("runs", sa.Column("renewed", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("runs", sa.Column("forgets_persons", sa.Boolean(), server_default="false", nullable=False))
    op.create_index(
        "ix_runs_face_sessions", "runs", ["id"], postgresql_where=sa.text("phase = 'face_detection' AND number = 1")
    )
    op.execute(sa.schema.CreateSequence(sa.Sequence("generations", start=2)))


def _add_category_indexes() -> None:
    op.execute("""
        UPDATE categories SET is_default = false
        WHERE is_default AND id <> (SELECT min(id) FROM categories WHERE is_default)""")
    op.create_index(
        "uq_categories_default", "categories", ["is_default"], unique=True, postgresql_where=sa.text("is_default")
    )
    op.create_index("ix_sessions_category_id", "sessions", ["category_id"])


def _count_by_trigger(table: str, definition: str, *, function: str) -> None:
    op.execute(definition)
    for event, rows in {
        "INSERT": "NEW TABLE AS new_rows",
        "UPDATE": "OLD TABLE AS old_rows NEW TABLE AS new_rows",
        "DELETE": "OLD TABLE AS old_rows",
    }.items():
        op.execute(f"""
            CREATE TRIGGER {table}_{event.lower()} AFTER {event} ON {table} REFERENCING {rows}
            FOR EACH STATEMENT EXECUTE FUNCTION {function}()""")


def _add_directories() -> None:
    op.create_table(
        "directories",
        _id(),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("photo_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("trained_count", sa.BigInteger(), server_default="0", nullable=False),
        _moment("last_trained_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_directories"),
        sa.UniqueConstraint("path", name="uq_directories_path"),
    )
    op.add_column("assets", sa.Column("directory_id", sa.BigInteger(), nullable=True))
    op.add_column("assets", _moment("trained_at", nullable=True))
    op.add_column("assets", _moment("missing_at", nullable=True))
    op.execute(f"INSERT INTO directories (path) SELECT DISTINCT {_DIRECTORY} FROM assets a")  # noqa: S608 - a constant
    op.execute(f"UPDATE assets a SET directory_id = d.id FROM directories d WHERE d.path = {_DIRECTORY}")  # noqa: S608
    op.execute("""
        UPDATE assets a SET trained_at = e.created_at
        FROM (SELECT asset_id, asset_version, max(created_at) AS created_at
            FROM embeddings GROUP BY asset_id, asset_version) e
        WHERE e.asset_id = a.id AND e.asset_version = a.version""")
    op.execute("""
        UPDATE directories d SET photo_count = c.photos, trained_count = c.trained, last_trained_at = c.trained_at
        FROM (SELECT directory_id, count(*) AS photos, count(trained_at) AS trained, max(trained_at) AS trained_at
            FROM assets GROUP BY directory_id) c
        WHERE c.directory_id = d.id""")
    op.create_foreign_key("fk_assets_directory_id", "assets", "directories", ["directory_id"], ["id"])
    op.create_index("ix_assets_directory_id", "assets", ["directory_id"])
    op.create_index("ix_assets_size_bytes", "assets", ["size_bytes"])
    _count_by_trigger("assets", _COUNT_PHOTOS, function="count_directory_photos")


def _add_job_counts() -> None:
    op.create_table(
        "session_job_counts",
        sa.Column("session_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name="fk_session_job_counts_session_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("session_id", "status", name="pk_session_job_counts"),
    )
    op.execute("""
        INSERT INTO session_job_counts (session_id, status, count)
        SELECT session_id, status, count(*) FROM session_assets GROUP BY session_id, status""")
    op.create_index("ix_session_assets_order", "session_assets", ["session_id", "id"])
    _count_by_trigger("session_assets", _COUNT_JOBS, function="count_session_jobs")


def _add_chosen_directories() -> None:
    op.create_table(
        "session_directories",
        _id(),
        sa.Column("session_id", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("selected", sa.Boolean(), server_default="true", nullable=False),
        _moment("created_at"),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name="fk_session_directories_session_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_session_directories"),
        sa.UniqueConstraint("session_id", "path", name="uq_session_directories_session_id_path"),
    )
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT id, root_path, subdirectories FROM sessions ORDER BY id")).all()
    for session_id, root_path, uris in rows:
        paths = [unquote_to_bytes(uri.removeprefix("file://")) for uri in uris] or [root_path]
        connection.execute(
            sa.text("INSERT INTO session_directories (session_id, path) VALUES (:session_id, :path)"),
            [{"session_id": session_id, "path": path} for path in dict.fromkeys(paths)],
        )
    op.drop_column("sessions", "subdirectories")


def downgrade() -> None:
    op.execute(sa.schema.DropSequence(sa.Sequence("generations")))
    op.drop_index("ix_runs_face_sessions", table_name="runs")
    op.drop_column("runs", "forgets_persons")
    op.drop_column("runs", "renewed")
    op.drop_column("sessions", "photos_found")
    op.drop_index("ix_sessions_category_id", table_name="sessions")
    op.drop_index("uq_categories_default", table_name="categories")
    op.drop_table("ignored_directories")
    _put_chosen_directories_back()
    op.execute("DROP FUNCTION count_session_jobs() CASCADE")
    op.drop_index("ix_session_assets_order", table_name="session_assets")
    op.drop_table("session_job_counts")
    op.execute("DROP FUNCTION count_directory_photos() CASCADE")
    op.drop_index("ix_assets_size_bytes", table_name="assets")
    for column in ("missing_at", "trained_at", "directory_id"):
        op.drop_column("assets", column)
    op.drop_table("directories")


def _put_chosen_directories_back() -> None:
    op.add_column("sessions", sa.Column("subdirectories", postgresql.JSONB(), server_default="[]", nullable=False))
    connection = op.get_bind()
    rows = connection.execute(
        sa.text("""
            SELECT d.session_id, d.path FROM session_directories d JOIN sessions s ON s.id = d.session_id
            WHERE d.selected AND EXISTS (SELECT 1 FROM session_directories o
                WHERE o.session_id = d.session_id AND o.selected AND o.path <> s.root_path) ORDER BY d.id""")
    ).all()
    for session_id, path in rows:
        connection.execute(
            sa.text("""
                UPDATE sessions SET subdirectories = subdirectories || jsonb_build_array(CAST(:uri AS text))
                WHERE id = :id"""),
            {"id": session_id, "uri": "file://" + quote_from_bytes(path)},
        )
    op.drop_table("session_directories")
