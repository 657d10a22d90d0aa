"""Persons who somebody said are two, whatever a clustering finds."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "different_persons",
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("other_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("person_id < other_id", name=op.f("ck_different_persons_order")),
        sa.ForeignKeyConstraint(
            ["person_id"], ["persons.id"], name="fk_different_persons_person_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["other_id"], ["persons.id"], name="fk_different_persons_other_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("person_id", "other_id", name="pk_different_persons"),
    )
    op.create_index("ix_different_persons_other_id", "different_persons", ["other_id"])


def downgrade() -> None:
    op.drop_table("different_persons")
