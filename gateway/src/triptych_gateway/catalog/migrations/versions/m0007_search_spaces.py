"""What is searched: for each model a table of its vectors, and which photos' vectors wait to be put there."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# An entry that is there is written all the same: else a worker that takes it away unseen would take this change too.
_QUEUE = """
CREATE FUNCTION queue_for_search() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO search_queue (model_id, asset_id)
        SELECT DISTINCT model_id, asset_id FROM old_rows WHERE generation = 1 ORDER BY model_id, asset_id
        ON CONFLICT (model_id, asset_id) DO UPDATE SET queued_at = excluded.queued_at, building_number = NULL;
    ELSE
        INSERT INTO search_queue (model_id, asset_id)
        SELECT DISTINCT model_id, asset_id FROM new_rows WHERE generation = 1 ORDER BY model_id, asset_id
        ON CONFLICT (model_id, asset_id) DO UPDATE SET queued_at = excluded.queued_at, building_number = NULL;
    END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.execute(sa.schema.CreateSequence(sa.Sequence("search_tables")))
    op.create_table(
        "search_spaces",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Integer()),
        sa.Column("photo_count", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("table_number", sa.BigInteger()),
        sa.Column("has_graph", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("rebuild_asked_at", sa.DateTime(timezone=True)),
        sa.Column("building_number", sa.BigInteger()),
        sa.Column("build_stage", sa.Text()),
        sa.Column("build_done", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("build_total", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("built_at", sa.DateTime(timezone=True)),
        sa.Column("build_seconds", sa.Float()),
        sa.PrimaryKeyConstraint("id", name="pk_search_spaces"),
        sa.UniqueConstraint("model_id", name="uq_search_spaces_model_id"),
        sa.CheckConstraint("build_stage IN ('copying','linking')", name="ck_search_spaces_build_stage"),
    )
    op.create_table(
        "search_queue",
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("asset_id", sa.BigInteger(), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("building_number", sa.BigInteger()),
        sa.PrimaryKeyConstraint("model_id", "asset_id", name="pk_search_queue"),
    )
    op.execute("INSERT INTO search_spaces (model_id) SELECT DISTINCT model_id FROM embeddings WHERE generation = 1")
    op.execute(_QUEUE)
    for event, rows in {"INSERT": "NEW", "UPDATE": "NEW", "DELETE": "OLD"}.items():
        op.execute(f"""
            CREATE TRIGGER embeddings_{event.lower()}_search AFTER {event} ON embeddings
            REFERENCING {rows} TABLE AS {rows.lower()}_rows FOR EACH STATEMENT EXECUTE FUNCTION queue_for_search()""")


def downgrade() -> None:
    op.execute("DROP FUNCTION queue_for_search CASCADE")
    op.drop_table("search_queue")
    # Their names are numbers out of the sequence.
    op.execute(r"""
        DO $$ DECLARE name text; BEGIN
            FOR name IN SELECT tablename FROM pg_tables
                WHERE schemaname = current_schema() AND tablename ~ '^search_vectors_[0-9]+$' LOOP
                EXECUTE format('DROP TABLE %I', name);
            END LOOP;
        END $$""")
    op.drop_table("search_spaces")
    op.execute("DROP SEQUENCE search_tables")
