"""Persons, groups, where faces stand, and what people said of them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from triptych_gateway.catalog.schema.base import created_at_column, id_column, metadata, reference

persons = Table(
    "persons",
    metadata,
    id_column(),
    Column("name", Text),
    # The name as it is searched: case folded.
    Column("name_folded", Text),
    Column("status", Text, nullable=False, server_default="active"),
    reference("faces.id", name="cover_face_id", nullable=True, index=True, gone="SET NULL"),
    # Faces that are shown as this person, and the photos that they are in; a trigger on `face_places` keeps both.
    Column("face_count", BigInteger, nullable=False, server_default="0"),
    Column("asset_count", BigInteger, nullable=False, server_default="0"),
    created_at_column(),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("status IN ('active','hidden')", name="status"),
    Index("ix_persons_order", text("face_count DESC"), "id"),
    Index("ix_persons_status", "status", text("face_count DESC"), "id"),
    Index("ix_persons_name", "name_folded", "id", postgresql_where=text("name_folded IS NOT NULL")),
)

# How many persons have which status; a trigger on `persons` keeps it.
person_counts = Table(
    "person_counts",
    metadata,
    Column("status", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

# One result of clustering a face space; the active one is what is shown.
clusterings = Table(
    "clusterings",
    metadata,
    id_column(),
    reference("sessions.id", name="session_id", nullable=True, index=True, gone="SET NULL"),
    Column("model_id", Text, nullable=False),
    Column("parameters", JSONB, nullable=False),
    Column("face_count", BigInteger, nullable=False),
    Column("group_count", BigInteger, nullable=False, server_default="0"),
    # Faces that are shown in no group and as no person; a trigger on `face_places` keeps it.
    Column("unassigned_count", BigInteger, nullable=False, server_default="0"),
    Column("active", Boolean, nullable=False),
    created_at_column(),
    Index("uq_clusterings_active", "model_id", unique=True, postgresql_where=text("active")),
)

# Groups of active clusterings; those of former ones are gone.
groups = Table(
    "groups",
    metadata,
    id_column(),
    reference("clusterings.id", name="clustering_id", index=True),
    reference("persons.id", name="person_id", nullable=True, index=True, gone="SET NULL"),
    # Faces that are shown in it; a trigger on `face_places` keeps it.
    Column("face_count", Integer, nullable=False),
    Column("cohesion", Float, nullable=False),
    Index("ix_groups_order", text("face_count DESC"), "id"),
)

# Where each face of an active clustering stands: in which group, if in any, and as which person it is shown.
face_places = Table(
    "face_places",
    metadata,
    Column("face_id", BigInteger, ForeignKey("faces.id", ondelete="CASCADE"), primary_key=True),
    reference("clusterings.id", name="clustering_id"),
    # That of the face. It goes with the face, so there is no reference of its own to check for each row.
    Column("asset_id", BigInteger, nullable=False),
    reference("groups.id", name="group_id", nullable=True, gone="SET NULL"),
    reference("persons.id", name="person_id", nullable=True, gone="SET NULL"),
    Column("probability", Float),
    # Whether corrections decide as whom it is shown.
    Column("is_manual", Boolean, nullable=False, server_default=text("false")),
    # Not while its photo is missing; a trigger on `assets` keeps it.
    Column("shown", Boolean, nullable=False, server_default=text("true")),
    Index("ix_face_places_asset_id", "asset_id", postgresql_include=["person_id", "group_id", "shown"]),
    Index(
        "ix_face_places_group_id",
        "group_id",
        text("probability DESC"),
        "face_id",
        postgresql_include=["shown"],
        postgresql_where=text("group_id IS NOT NULL"),
    ),
    Index(
        "ix_face_places_person_id",
        "person_id",
        "asset_id",
        "face_id",
        postgresql_include=["shown"],
        postgresql_where=text("person_id IS NOT NULL"),
    ),
    Index(
        "ix_face_places_unassigned",
        "face_id",
        postgresql_where=text("group_id IS NULL AND person_id IS NULL AND shown"),
    ),
)


def _faces_in_session(table: str, column: str) -> Table:
    return Table(
        table,
        metadata,
        Column("session_id", BigInteger, nullable=False),
        Column(column, BigInteger, nullable=False),
        Column("face_count", BigInteger, nullable=False),
        PrimaryKeyConstraint("session_id", column),
        Index(f"ix_{table}_gone", "session_id", postgresql_where=text("face_count = 0")),
    )


# The faces that are shown in a session's photos, by person and by group; triggers on `face_places` and `session_assets`
# keep them, and a row goes with its last face.
session_persons = _faces_in_session("session_persons", "person_id")

session_groups = _faces_in_session("session_groups", "group_id")

# The sums of both by session, kept likewise: to add them up for each of a page's sessions would read a library's worth.
session_faces = Table(
    "session_faces",
    metadata,
    Column("session_id", BigInteger, primary_key=True, autoincrement=False),
    Column("in_groups", BigInteger, nullable=False),
    Column("of_persons", BigInteger, nullable=False),
    Index("ix_session_faces_gone", "session_id", postgresql_where=text("in_groups + of_persons = 0")),
)

# What a run of clustering made of persons with a name. The persons may be gone or have another name by now.
changed_persons = Table(
    "changed_persons",
    metadata,
    id_column(),
    reference("runs.id", name="run_id"),
    Column("kind", Text, nullable=False),
    Column("person_id", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("into_id", BigInteger),
    Column("faces", BigInteger, nullable=False),
    Index("ix_changed_persons_order", "run_id", "id"),
    CheckConstraint("kind IN ('split','merged','ungrouped')", name="kind"),
)

# What people said of faces. It names a box in a photo, not a row of `faces`: those are replaced when photos are
# searched for faces again.
corrections = Table(
    "corrections",
    metadata,
    id_column(),
    reference("persons.id", name="person_id", index=True),
    reference("assets.id", name="asset_id", index=True),
    Column("x", Float, nullable=False),
    Column("y", Float, nullable=False),
    Column("width", Float, nullable=False),
    Column("height", Float, nullable=False),
    Column("kind", Text, nullable=False),
    created_at_column(),
    CheckConstraint("kind IN ('is','is_not')", name="kind"),
)

# Persons who somebody said are two, whatever a clustering finds.
different_persons = Table(
    "different_persons",
    metadata,
    reference("persons.id", name="person_id"),
    reference("persons.id", name="other_id", index=True),
    PrimaryKeyConstraint("person_id", "other_id"),
    CheckConstraint("person_id < other_id", name="order"),
)
