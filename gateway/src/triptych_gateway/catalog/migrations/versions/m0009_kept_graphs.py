"""The graph of near neighbours that a clustering leaves for the next, and by which method past clusterings worked."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "kept_graphs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False, server_default="1"),
        sa.Column("face_count", sa.BigInteger(), nullable=False),
        sa.Column("group_count", sa.BigInteger(), nullable=False),
        sa.Column("most_new_faces", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("id", name="pk_kept_graphs"),
        sa.UniqueConstraint("model_id", name="uq_kept_graphs_model_id"),
    )
    op.create_table(
        "kept_faces",
        sa.Column("graph_id", sa.BigInteger(), nullable=False),
        sa.Column("face_id", sa.BigInteger(), nullable=False),
        sa.Column("neighbour_ids", sa.LargeBinary(), nullable=False),
        sa.Column("distances", sa.LargeBinary(), nullable=False),
        sa.Column("component", sa.BigInteger(), nullable=False),
        sa.Column("component_mark", sa.BigInteger(), nullable=False),
        sa.Column("dense_group", sa.BigInteger(), nullable=False),
        sa.Column("probability", sa.REAL(), nullable=False),
        sa.ForeignKeyConstraint(["graph_id"], ["kept_graphs.id"], name="fk_kept_faces_graph_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("graph_id", "face_id", name="pk_kept_faces"),
    )
    op.create_table(
        "kept_groups",
        sa.Column("graph_id", sa.BigInteger(), nullable=False),
        sa.Column("mark", sa.BigInteger(), nullable=False),
        sa.Column("neighbour_marks", sa.LargeBinary(), nullable=False),
        sa.Column("distances", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["graph_id"], ["kept_graphs.id"], name="fk_kept_groups_graph_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("graph_id", "mark", name="pk_kept_groups"),
    )
    op.add_column("phase_history", sa.Column("method", sa.Text(), nullable=False, server_default="full"))
    op.create_check_constraint(op.f("ck_phase_history_method"), "phase_history", "method IN ('full','incremental')")


def downgrade() -> None:
    # What is left must be of one kind.
    op.execute("DELETE FROM phase_history WHERE method <> 'full'")
    op.drop_constraint(op.f("ck_phase_history_method"), "phase_history")
    op.drop_column("phase_history", "method")
    op.drop_table("kept_groups")
    op.drop_table("kept_faces")
    op.drop_table("kept_graphs")
