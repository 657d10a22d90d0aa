"""What is to be forgotten, and places in photos that are kept out of searches for faces."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "forgettings",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=False),
        sa.Column("keeps_out", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
            for name in ("persons", "faces", "photos", "sessions")
        ),
        sa.Column("waits_for", sa.Text(), nullable=True),
        sa.Column("asked_at", moment, server_default=sa.func.now(), nullable=False),
        sa.Column("done_at", moment, nullable=True),
        sa.CheckConstraint("kind IN ('person','photo','session')", name=op.f("ck_forgettings_kind")),
        sa.PrimaryKeyConstraint("id", name="pk_forgettings"),
        sa.UniqueConstraint("kind", "subject_id", name="uq_forgettings_kind_subject_id"),
    )
    op.create_table(
        "forgetting_photos",
        sa.Column("forgetting_id", sa.BigInteger(), nullable=False),
        sa.Column("asset_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["forgetting_id"], ["forgettings.id"], name="fk_forgetting_photos_forgetting_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("forgetting_id", "asset_id", name="pk_forgetting_photos"),
    )
    op.create_table(
        "kept_out_boxes",
        sa.Column("asset_id", sa.BigInteger(), nullable=False),
        sa.Column("asset_version", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Float(), nullable=False) for name in ("x", "y", "width", "height")),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name="fk_kept_out_boxes_asset_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("asset_id", "asset_version", "x", "y", "width", "height", name="pk_kept_out_boxes"),
    )


def downgrade() -> None:
    for table in ("kept_out_boxes", "forgetting_photos", "forgettings"):
        op.drop_table(table)
