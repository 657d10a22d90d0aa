"""Runs keep the evidence of their duration; sessions say how their weights were chosen."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("evidence", postgresql.JSONB(), server_default="{}", nullable=False))
    op.drop_column("runs", "prior_seconds_per_item")
    op.add_column("sessions", sa.Column("weighting", sa.Text(), server_default="fixed", nullable=False))
    op.create_check_constraint("weighting", "sessions", "weighting IN ('fixed','calibrated')")
    op.add_column("sessions", sa.Column("prepared_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_sessions_updated_at", "sessions", ["updated_at"])


def downgrade() -> None:
    op.drop_index("ix_sessions_updated_at", table_name="sessions")
    op.drop_column("sessions", "prepared_at")
    op.drop_constraint(op.f("ck_sessions_weighting"), "sessions", type_="check")
    op.drop_column("sessions", "weighting")
    op.add_column("runs", sa.Column("prior_seconds_per_item", sa.Float(), server_default="0", nullable=False))
    op.drop_column("runs", "evidence")
