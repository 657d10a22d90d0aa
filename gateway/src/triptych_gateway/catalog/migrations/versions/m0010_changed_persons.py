"""What clusterings made of persons with a name."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "changed_persons",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("into_id", sa.BigInteger(), nullable=True),
        sa.Column("faces", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('split','merged','ungrouped')", name=op.f("ck_changed_persons_kind")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_changed_persons_run_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_changed_persons"),
    )
    op.create_index("ix_changed_persons_order", "changed_persons", ["run_id", "id"])


def downgrade() -> None:
    op.drop_table("changed_persons")
