"""Where each face stands, corrections of persons, and counters of persons, groups and unassigned faces."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# The end of a clustering writes every row anew: it counts once itself, and says so.
_COUNTING = "current_setting('triptych.counting', true) IS DISTINCT FROM 'off'"

# Counters are kept by triggers, one call per statement: whoever writes the rows, the counters are right. A photo of a
# person is counted when a first face of it becomes that person's, and no longer when the last one stops being so.
_COUNT_PLACES = """
CREATE FUNCTION count_face_places() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE clusterings_of bigint[]; groups_of bigint[]; persons_of bigint[]; assets_of bigint[]; changes integer[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(clustering_id), array_agg(group_id), array_agg(person_id), array_agg(asset_id), array_agg(1)
        INTO clusterings_of, groups_of, persons_of, assets_of, changes FROM new_rows WHERE shown;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(clustering_id), array_agg(group_id), array_agg(person_id), array_agg(asset_id), array_agg(-1)
        INTO clusterings_of, groups_of, persons_of, assets_of, changes FROM old_rows WHERE shown;
    ELSE
        SELECT array_agg(clustering_id), array_agg(group_id), array_agg(person_id), array_agg(asset_id),
            array_agg(change)
        INTO clusterings_of, groups_of, persons_of, assets_of, changes
        FROM (SELECT *, 1 AS change FROM new_rows UNION ALL SELECT *, -1 FROM old_rows) rows WHERE shown;
    END IF;
    IF changes IS NULL THEN
        RETURN NULL;
    END IF;
    UPDATE persons p SET face_count = p.face_count + c.faces, asset_count = p.asset_count + c.assets
    FROM (
        SELECT person_id, sum(faces) AS faces, sum((after > 0)::integer - (after - faces > 0)::integer) AS assets
        FROM (
            SELECT person_id, asset_id, sum(change) AS faces, (
                SELECT count(*) FROM face_places q
                WHERE q.person_id = changed.person_id AND q.asset_id = changed.asset_id AND q.shown) AS after
            FROM unnest(persons_of, assets_of, changes) AS changed(person_id, asset_id, change)
            WHERE person_id IS NOT NULL GROUP BY person_id, asset_id) pairs
        GROUP BY person_id) c
    WHERE p.id = c.person_id AND (c.faces <> 0 OR c.assets <> 0);
    UPDATE groups g SET face_count = g.face_count + c.faces
    FROM (SELECT group_id, sum(change) AS faces FROM unnest(groups_of, changes) AS changed(group_id, change)
        WHERE group_id IS NOT NULL GROUP BY group_id) c
    WHERE g.id = c.group_id AND c.faces <> 0;
    UPDATE clusterings k SET unassigned_count = k.unassigned_count + c.faces
    FROM (SELECT clustering_id, sum(change) AS faces
        FROM unnest(clusterings_of, groups_of, persons_of, changes)
            AS changed(clustering_id, group_id, person_id, change)
        WHERE group_id IS NULL AND person_id IS NULL GROUP BY clustering_id) c
    WHERE k.id = c.clustering_id AND c.faces <> 0;
    RETURN NULL;
END $$
"""

_COUNT_GROUPS = """
CREATE FUNCTION count_groups() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE clusterings k SET group_count = k.group_count + c.groups
        FROM (SELECT clustering_id, count(*) AS groups FROM new_rows GROUP BY clustering_id) c
        WHERE k.id = c.clustering_id;
    ELSE
        UPDATE clusterings k SET group_count = k.group_count - c.groups
        FROM (SELECT clustering_id, count(*) AS groups FROM old_rows GROUP BY clustering_id) c
        WHERE k.id = c.clustering_id;
    END IF;
    RETURN NULL;
END $$
"""

_COUNT_PERSONS = """
CREATE FUNCTION count_persons() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO person_counts AS kept (status, count)
        SELECT status, count(*) FROM new_rows GROUP BY status ORDER BY status
        ON CONFLICT (status) DO UPDATE SET count = kept.count + excluded.count;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO person_counts AS kept (status, count)
        SELECT status, sum(change) FROM (
            SELECT status, 1 AS change FROM new_rows UNION ALL SELECT status, -1 FROM old_rows) changes
        GROUP BY status HAVING sum(change) <> 0 ORDER BY status
        ON CONFLICT (status) DO UPDATE SET count = kept.count + excluded.count;
    ELSE
        UPDATE person_counts kept SET count = kept.count - gone.count
        FROM (SELECT status, count(*) AS count FROM old_rows GROUP BY status) gone WHERE kept.status = gone.status;
    END IF;
    RETURN NULL;
END $$
"""

# Under the lock under which places change: `catalog.database.PLACES_LOCK`.
_SHOW_PLACES = """
CREATE FUNCTION show_face_places() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE gone bigint[]; back bigint[];
BEGIN
    SELECT array_agg(n.id) FILTER (WHERE n.missing_at IS NOT NULL), array_agg(n.id) FILTER (WHERE n.missing_at IS NULL)
    INTO gone, back FROM new_rows n JOIN old_rows o ON o.id = n.id
    WHERE (n.missing_at IS NULL) <> (o.missing_at IS NULL);
    IF gone IS NOT NULL OR back IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(7201003);
        UPDATE face_places SET shown = NOT shown
        WHERE (asset_id = ANY(gone) AND shown) OR (asset_id = ANY(back) AND NOT shown);
    END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.add_column("persons", sa.Column("name_folded", sa.Text(), nullable=True))
    op.add_column("persons", sa.Column("face_count", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("persons", sa.Column("asset_count", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("clusterings", sa.Column("group_count", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("clusterings", sa.Column("unassigned_count", sa.BigInteger(), server_default="0", nullable=False))
    _add_places()
    _add_corrections()
    _fold_names()
    _count_once()
    _count_by_triggers()
    for name, columns in {"order": [], "status": ["status"]}.items():
        op.create_index(f"ix_persons_{name}", "persons", [*columns, sa.text("face_count DESC"), "id"])
    op.create_index(
        "ix_persons_name", "persons", ["name_folded", "id"], postgresql_where=sa.text("name_folded IS NOT NULL")
    )
    op.create_index("ix_groups_order", "groups", [sa.text("face_count DESC"), "id"])


def _add_places() -> None:
    op.create_table(
        "face_places",
        sa.Column("face_id", sa.BigInteger(), nullable=False),
        sa.Column("clustering_id", sa.BigInteger(), nullable=False),
        sa.Column("asset_id", sa.BigInteger(), nullable=False),
        sa.Column("group_id", sa.BigInteger(), nullable=True),
        sa.Column("person_id", sa.BigInteger(), nullable=True),
        sa.Column("probability", sa.Float(), nullable=True),
        sa.Column("is_manual", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("shown", sa.Boolean(), server_default="true", nullable=False),
        sa.ForeignKeyConstraint(["face_id"], ["faces.id"], name="fk_face_places_face_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["clustering_id"], ["clusterings.id"], name="fk_face_places_clustering_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name="fk_face_places_group_id", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["person_id"], ["persons.id"], name="fk_face_places_person_id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("face_id", name="pk_face_places"),
    )
    op.execute("""
        INSERT INTO face_places (face_id, clustering_id, asset_id, group_id, person_id, probability, shown)
        SELECT f.id, k.id, f.asset_id, g.id, g.person_id, gf.probability, a.missing_at IS NULL
        FROM clusterings k JOIN faces f ON f.model_id = k.model_id AND f.generation = 1
        JOIN face_scans c ON c.asset_id = f.asset_id AND c.model_id = f.model_id AND c.generation = f.generation
        JOIN assets a ON a.id = f.asset_id
        LEFT JOIN (group_faces gf JOIN groups g ON g.id = gf.group_id) ON gf.face_id = f.id AND g.clustering_id = k.id
        WHERE k.active AND (g.id IS NOT NULL OR c.asset_version = a.version)""")
    op.drop_table("group_faces")
    op.create_index(
        "ix_face_places_asset_id", "face_places", ["asset_id"], postgresql_include=["person_id", "group_id", "shown"]
    )
    op.create_index(
        "ix_face_places_group_id",
        "face_places",
        ["group_id", sa.text("probability DESC"), "face_id"],
        postgresql_include=["shown"],
        postgresql_where=sa.text("group_id IS NOT NULL"),
    )
    op.create_index(
        "ix_face_places_person_id",
        "face_places",
        ["person_id", "asset_id", "face_id"],
        postgresql_include=["shown"],
        postgresql_where=sa.text("person_id IS NOT NULL"),
    )
    op.create_index(
        "ix_face_places_unassigned",
        "face_places",
        ["face_id"],
        postgresql_where=sa.text("group_id IS NULL AND person_id IS NULL AND shown"),
    )


def _add_corrections() -> None:
    op.create_table(
        "corrections",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("asset_id", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Float(), nullable=False) for name in ("x", "y", "width", "height")),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("kind IN ('is','is_not')", name=op.f("ck_corrections_kind")),
        sa.ForeignKeyConstraint(["person_id"], ["persons.id"], name="fk_corrections_person_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name="fk_corrections_asset_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_corrections"),
    )
    op.create_index("ix_corrections_person_id", "corrections", ["person_id"])
    op.create_index("ix_corrections_asset_id", "corrections", ["asset_id"])


def _fold_names() -> None:
    # In Python, as the catalogue does: what PostgreSQL makes of capitals depends on the database's locale.
    connection = op.get_bind()
    for person_id, name in connection.execute(sa.text("SELECT id, name FROM persons WHERE name IS NOT NULL")).all():
        connection.execute(
            sa.text("UPDATE persons SET name_folded = :folded WHERE id = :id"),
            {"folded": name.casefold(), "id": person_id},
        )


def _count_once() -> None:
    op.execute("""
        UPDATE persons p SET face_count = c.faces, asset_count = c.assets
        FROM (SELECT person_id, count(*) AS faces, count(DISTINCT asset_id) AS assets
            FROM face_places WHERE shown AND person_id IS NOT NULL GROUP BY person_id) c
        WHERE c.person_id = p.id""")
    op.execute("""
        UPDATE groups g SET face_count = (SELECT count(*) FROM face_places p WHERE p.group_id = g.id AND p.shown)""")
    op.execute("""
        UPDATE clusterings k SET
            group_count = (SELECT count(*) FROM groups g WHERE g.clustering_id = k.id),
            unassigned_count = (SELECT count(*) FROM face_places p
                WHERE p.clustering_id = k.id AND p.group_id IS NULL AND p.person_id IS NULL AND p.shown)""")
    op.create_table(
        "person_counts",
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("status", name="pk_person_counts"),
    )
    op.execute("INSERT INTO person_counts (status, count) SELECT status, count(*) FROM persons GROUP BY status")


def _count_by_triggers() -> None:
    for definition in (_COUNT_PLACES, _COUNT_GROUPS, _COUNT_PERSONS, _SHOW_PLACES):
        op.execute(definition)
    new, old = "NEW TABLE AS new_rows", "OLD TABLE AS old_rows"
    events = {"INSERT": new, "UPDATE": f"{old} {new}", "DELETE": old}
    counted = [("face_places", "count_face_places", event, f"WHEN ({_COUNTING})") for event in events]
    counted += [("groups", "count_groups", event, "") for event in ("INSERT", "DELETE")]
    counted += [("persons", "count_persons", event, "") for event in events]
    for table, function, event, condition in counted:
        op.execute(f"""
            CREATE TRIGGER {table}_{event.lower()} AFTER {event} ON {table} REFERENCING {events[event]}
            FOR EACH STATEMENT {condition} EXECUTE FUNCTION {function}()""")
    op.execute(f"""
        CREATE TRIGGER assets_show_face_places AFTER UPDATE ON assets REFERENCING {events["UPDATE"]}
        FOR EACH STATEMENT EXECUTE FUNCTION show_face_places()""")


def downgrade() -> None:
    for function in ("show_face_places", "count_persons", "count_groups", "count_face_places"):
        op.execute(f"DROP FUNCTION {function}() CASCADE")
    op.create_table(
        "group_faces",
        sa.Column("group_id", sa.BigInteger(), nullable=False),
        sa.Column("face_id", sa.BigInteger(), nullable=False),
        sa.Column("probability", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["face_id"], ["faces.id"], name="fk_group_faces_face_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name="fk_group_faces_group_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("group_id", "face_id", name="pk_group_faces"),
    )
    # A face that somebody corrected goes back to its group: there is no place for what was said of it.
    op.execute("""
        INSERT INTO group_faces (group_id, face_id, probability)
        SELECT group_id, face_id, probability FROM face_places WHERE group_id IS NOT NULL""")
    op.execute("UPDATE groups g SET face_count = (SELECT count(*) FROM group_faces m WHERE m.group_id = g.id)")
    op.create_index("ix_group_faces_face_id", "group_faces", ["face_id"])
    op.drop_index("ix_groups_order", table_name="groups")
    for table in ("corrections", "face_places", "person_counts"):
        op.drop_table(table)
    for name in ("ix_persons_order", "ix_persons_status", "ix_persons_name"):
        op.drop_index(name, table_name="persons")
    for column in ("name_folded", "face_count", "asset_count"):
        op.drop_column("persons", column)
    for column in ("group_count", "unassigned_count"):
        op.drop_column("clusterings", column)
