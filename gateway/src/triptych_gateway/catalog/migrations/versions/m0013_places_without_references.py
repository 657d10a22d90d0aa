"""Places of photos in runs, whose photos are no longer checked row by row."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# What the reference did, once for a statement rather than for each photo. There is no index by photo, as there was
# none: Triptych itself removes no photo's row.
_TAKE_PLACES = """
CREATE FUNCTION take_places_in_runs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM run_items i USING old_rows o WHERE i.asset_id = o.id;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.drop_constraint("fk_run_items_asset_id", "run_items", type_="foreignkey")
    op.execute(_TAKE_PLACES)
    op.execute("""
        CREATE TRIGGER assets_take_places AFTER DELETE ON assets REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION take_places_in_runs()""")


def downgrade() -> None:
    op.execute("DROP FUNCTION take_places_in_runs CASCADE")
    # A photo whose row went while a run was planned.
    op.execute("DELETE FROM run_items i WHERE NOT EXISTS (SELECT FROM assets a WHERE a.id = i.asset_id)")
    op.create_foreign_key("fk_run_items_asset_id", "run_items", "assets", ["asset_id"], ["id"], ondelete="CASCADE")
