"""The catalogue's tables."""

from typing import Any, Final

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType

LIVE_GENERATION: Final = 1
"""Generation of the results that are shown. A restart writes under a number of its own, out of `generations`, until its
results are whole and take the place of these."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

generations = Sequence("generations", start=LIVE_GENERATION + 1, metadata=metadata)
search_tables = Sequence("search_tables", metadata=metadata)


class Vector(UserDefinedType[Any]):
    """pgvector's type without a fixed dimension; values are float32 arrays [d], sent in binary."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The type's name in SQL."""
        return "vector"


# So that reflection knows the type, and the schema can be compared with the database.
ischema_names["vector"] = Vector


def _id() -> Column[int]:
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def _created_at() -> Column[Any]:
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


def _to(column: str, *, name: str, nullable: bool = False, index: bool = False, gone: str = "CASCADE") -> Column[int]:
    return Column(name, BigInteger, ForeignKey(column, ondelete=gone), nullable=nullable, index=index)


categories = Table(
    "categories",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    Column("description", Text),
    Column("color", Text),
    Column("is_default", Boolean, nullable=False, server_default=text("false")),
    _created_at(),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("uq_categories_default", "is_default", unique=True, postgresql_where=text("is_default")),
)

sessions = Table(
    "sessions",
    metadata,
    _id(),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("root_path", LargeBinary, nullable=False),
    Column("config", JSONB, nullable=False, server_default="{}"),
    Column("weights", JSONB, nullable=False),
    Column("weighting", Text, nullable=False, server_default="fixed"),
    _to("categories.id", name="category_id", nullable=True, index=True, gone="SET NULL"),
    Column("lifecycle_step", BigInteger, nullable=False, server_default="0"),
    Column("error_code", Text),
    Column("error_message", Text),
    # Photos that discovery has come upon so far.
    Column("photos_found", BigInteger, nullable=False, server_default="0"),
    _created_at(),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("started_at", DateTime(timezone=True)),
    Column("discovered_at", DateTime(timezone=True)),
    # When evidence was gathered and weights became final, right before the first phase.
    Column("prepared_at", DateTime(timezone=True)),
    Column("paused_at", DateTime(timezone=True)),
    Column("completed_at", DateTime(timezone=True)),
    CheckConstraint("status IN ('pending','running','paused','completed','failed','cancelled')", name="status"),
    CheckConstraint("weighting IN ('fixed','calibrated')", name="weighting"),
    Index("ix_sessions_updated_at", "updated_at"),
    Index("ix_sessions_running", "id", postgresql_where=text("status = 'running'")),
)

# The directories that a session walks: those that were chosen, or its root.
session_directories = Table(
    "session_directories",
    metadata,
    _id(),
    _to("sessions.id", name="session_id"),
    Column("path", LargeBinary, nullable=False),
    Column("selected", Boolean, nullable=False, server_default=text("true")),
    _created_at(),
    UniqueConstraint("session_id", "path"),
)

# Directories that no session walks.
ignored_directories = Table(
    "ignored_directories",
    metadata,
    _id(),
    Column("path", LargeBinary, nullable=False, unique=True),
    Column("reason", Text),
    Column("ignored_by", Text),
    Column("ignored_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

leases = Table(
    "leases",
    metadata,
    Column("session_id", BigInteger, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("holder", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)

# Directories that hold photos of the library themselves; a trigger on `assets` keeps the counters.
directories = Table(
    "directories",
    metadata,
    _id(),
    Column("path", LargeBinary, nullable=False, unique=True),
    Column("photo_count", BigInteger, nullable=False, server_default="0"),
    Column("trained_count", BigInteger, nullable=False, server_default="0"),
    Column("last_trained_at", DateTime(timezone=True)),
)

assets = Table(
    "assets",
    metadata,
    _id(),
    Column("directory_id", BigInteger, ForeignKey("directories.id"), index=True),
    Column("path", LargeBinary, nullable=False, unique=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("modified_ns", BigInteger, nullable=False),
    # Grows when the file changes; results of an older version count as not there.
    Column("version", Integer, nullable=False, server_default="1"),
    Column("content_sha256", LargeBinary),
    Column("width", Integer),
    Column("height", Integer),
    Column("taken_at", Text),
    # When this version of it was embedded last.
    Column("trained_at", DateTime(timezone=True)),
    # When its file was found to be gone; its results wait for it to come back.
    Column("missing_at", DateTime(timezone=True)),
    _created_at(),
    Index("ix_assets_size_bytes", "size_bytes"),
)

# A session's photos: the contract's jobs, one per photo.
session_assets = Table(
    "session_assets",
    metadata,
    _id(),
    _to("sessions.id", name="session_id"),
    _to("assets.id", name="asset_id", index=True),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("error_phase", Text),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("processing_microseconds", BigInteger),
    _created_at(),
    Column("completed_at", DateTime(timezone=True)),
    UniqueConstraint("session_id", "asset_id"),
    Index("ix_session_assets_status", "session_id", "status", "id"),
    Index("ix_session_assets_order", "session_id", "id"),
    CheckConstraint("status IN ('pending','completed','failed','skipped')", name="status"),
)

# How many jobs of a session have which status; a trigger on `session_assets` keeps it.
session_job_counts = Table(
    "session_job_counts",
    metadata,
    _to("sessions.id", name="session_id"),
    Column("status", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    PrimaryKeyConstraint("session_id", "status"),
)

# What discovery could not read.
session_problems = Table(
    "session_problems",
    metadata,
    _id(),
    _to("sessions.id", name="session_id"),
    Column("path", LargeBinary, nullable=False),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Index("ix_session_problems_order", "session_id", "id"),
)

# One execution of a phase; the one with the highest number is the phase as it stands.
runs = Table(
    "runs",
    metadata,
    _id(),
    _to("sessions.id", name="session_id"),
    Column("phase", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("generation", Integer, nullable=False, server_default="1"),
    Column("model", JSONB),
    Column("shard_size", Integer, nullable=False),
    Column("total", BigInteger, nullable=False, server_default="0"),
    Column("skipped", BigInteger, nullable=False, server_default="0"),
    Column("done", BigInteger, nullable=False, server_default="0"),
    Column("failed", BigInteger, nullable=False, server_default="0"),
    Column("found", BigInteger, nullable=False, server_default="0"),
    # Photos that have a result of another model only.
    Column("renewed", BigInteger, nullable=False, server_default="0"),
    # Of clustering: whether the session's persons are made anew rather than recognised.
    Column("forgets_persons", Boolean, nullable=False, server_default=text("false")),
    Column("evidence", JSONB, nullable=False, server_default="{}"),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("started_at", DateTime(timezone=True)),
    Column("completed_at", DateTime(timezone=True)),
    UniqueConstraint("session_id", "phase", "number"),
    Index("ix_runs_face_sessions", "id", postgresql_where=text("phase = 'face_detection' AND number = 1")),
    CheckConstraint("phase IN ('training','face_detection','clustering')", name="phase"),
    CheckConstraint("status IN ('pending','running','paused','completed','failed','cancelled')", name="status"),
)

# What a run of clustering made of persons with a name. The persons may be gone or have another name by now.
changed_persons = Table(
    "changed_persons",
    metadata,
    _id(),
    _to("runs.id", name="run_id"),
    Column("kind", Text, nullable=False),
    Column("person_id", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("into_id", BigInteger),
    Column("faces", BigInteger, nullable=False),
    Index("ix_changed_persons_order", "run_id", "id"),
    CheckConstraint("kind IN ('split','merged','ungrouped')", name="kind"),
)

# The photos of a run that need work, under dense ordinals: a shard is a range of them, the same after any crash.
run_items = Table(
    "run_items",
    metadata,
    _to("runs.id", name="run_id"),
    Column("ordinal", Integer, nullable=False),
    _to("assets.id", name="asset_id"),
    Column("state", Text, nullable=False, server_default="pending"),
    PrimaryKeyConstraint("run_id", "ordinal"),
    CheckConstraint("state IN ('pending','done','failed')", name="state"),
    Index("ix_run_items_pending", "run_id", "ordinal", postgresql_where=text("state = 'pending'")),
)

embeddings = Table(
    "embeddings",
    metadata,
    _to("assets.id", name="asset_id"),
    Column("model_id", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("asset_version", Integer, nullable=False),
    Column("embedding", Vector, nullable=False),
    _created_at(),
    PrimaryKeyConstraint("asset_id", "model_id", "generation"),
)

# What is searched of each model's embeddings: a table `search_vectors_<number>` of its own, made by
# `catalog/search_tables.py`.
search_spaces = Table(
    "search_spaces",
    metadata,
    _id(),
    Column("model_id", Text, nullable=False, unique=True),
    Column("dimension", Integer),
    # Vectors in its table.
    Column("photo_count", BigInteger, nullable=False, server_default="0"),
    # None before the first one is built, and for vectors that are too long for one.
    Column("table_number", BigInteger),
    Column("has_graph", Boolean, nullable=False, server_default=text("false")),
    Column("rebuild_asked_at", DateTime(timezone=True)),
    # The table that will take its place, and how far it is.
    Column("building_number", BigInteger),
    Column("build_stage", Text),
    Column("build_done", BigInteger, nullable=False, server_default="0"),
    Column("build_total", BigInteger, nullable=False, server_default="0"),
    Column("built_at", DateTime(timezone=True)),
    Column("build_seconds", Float),
    CheckConstraint("build_stage IN ('copying','linking')", name="build_stage"),
)

# Photos whose shown embedding of a model came, changed or went since it was put into the model's table; triggers on
# `embeddings` keep it.
search_queue = Table(
    "search_queue",
    metadata,
    Column("model_id", Text, nullable=False),
    Column("asset_id", BigInteger, nullable=False),
    Column("queued_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    # The table that is being built and will have it.
    Column("building_number", BigInteger),
    PrimaryKeyConstraint("model_id", "asset_id"),
)

# One row per photo that was searched for faces, also where none was found.
face_scans = Table(
    "face_scans",
    metadata,
    _to("assets.id", name="asset_id"),
    Column("model_id", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("asset_version", Integer, nullable=False),
    Column("face_count", Integer, nullable=False),
    _created_at(),
    PrimaryKeyConstraint("asset_id", "model_id", "generation"),
)

faces = Table(
    "faces",
    metadata,
    _id(),
    _to("assets.id", name="asset_id"),
    Column("model_id", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("x", Float, nullable=False),
    Column("y", Float, nullable=False),
    Column("width", Float, nullable=False),
    Column("height", Float, nullable=False),
    Column("landmarks", JSONB, nullable=False),
    Column("score", Float, nullable=False),
    Column("embedding", Vector, nullable=False),
    UniqueConstraint("asset_id", "model_id", "generation", "position"),
    Index("ix_faces_space", "model_id", "generation", "id"),
)

persons = Table(
    "persons",
    metadata,
    _id(),
    Column("name", Text),
    # The name as it is searched: case folded.
    Column("name_folded", Text),
    Column("status", Text, nullable=False, server_default="active"),
    _to("faces.id", name="cover_face_id", nullable=True, index=True, gone="SET NULL"),
    # Faces that are shown as this person, and the photos that they are in; a trigger on `face_places` keeps both.
    Column("face_count", BigInteger, nullable=False, server_default="0"),
    Column("asset_count", BigInteger, nullable=False, server_default="0"),
    _created_at(),
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
    _id(),
    _to("sessions.id", name="session_id", nullable=True, index=True, gone="SET NULL"),
    Column("model_id", Text, nullable=False),
    Column("parameters", JSONB, nullable=False),
    Column("face_count", BigInteger, nullable=False),
    Column("group_count", BigInteger, nullable=False, server_default="0"),
    # Faces that are shown in no group and as no person; a trigger on `face_places` keeps it.
    Column("unassigned_count", BigInteger, nullable=False, server_default="0"),
    Column("active", Boolean, nullable=False),
    _created_at(),
    Index("uq_clusterings_active", "model_id", unique=True, postgresql_where=text("active")),
)

# Groups of active clusterings; those of former ones are gone.
groups = Table(
    "groups",
    metadata,
    _id(),
    _to("clusterings.id", name="clustering_id", index=True),
    _to("persons.id", name="person_id", nullable=True, index=True, gone="SET NULL"),
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
    _to("clusterings.id", name="clustering_id"),
    # That of the face. It goes with the face, so there is no reference of its own to check for each row.
    Column("asset_id", BigInteger, nullable=False),
    _to("groups.id", name="group_id", nullable=True, gone="SET NULL"),
    _to("persons.id", name="person_id", nullable=True, gone="SET NULL"),
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

# The graph of near neighbours of a model's faces that the last clustering left for the next. It is the clusterer's:
# what it means is told in clusterer.proto, and it holds under the version of the code and parameters that made it.
kept_graphs = Table(
    "kept_graphs",
    metadata,
    _id(),
    Column("model_id", Text, nullable=False, unique=True),
    Column("version", Text, nullable=False),
    # Grows with each change, so that none is made to what is not there any more.
    Column("revision", BigInteger, nullable=False, server_default="1"),
    Column("face_count", BigInteger, nullable=False),
    Column("group_count", BigInteger, nullable=False),
    # New faces with which the next clustering is worth to be incremental.
    Column("most_new_faces", BigInteger, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# One row per face, so that a clustering writes what it changed. Faces that are gone leave with the next clustering: a
# reference would have each row checked, and each of their deletions look here.
kept_faces = Table(
    "kept_faces",
    metadata,
    _to("kept_graphs.id", name="graph_id"),
    Column("face_id", BigInteger, nullable=False),
    # Little-endian int64 and float32 numbers, nearest first.
    Column("neighbour_ids", LargeBinary, nullable=False),
    Column("distances", LargeBinary, nullable=False),
    Column("component", BigInteger, nullable=False),
    Column("component_mark", BigInteger, nullable=False),
    # The smallest id of a face in its group before groups were merged, or -1.
    Column("dense_group", BigInteger, nullable=False),
    Column("probability", REAL, nullable=False),
    PrimaryKeyConstraint("graph_id", "face_id"),
)

# The same of groups before they were merged, by their marks.
kept_groups = Table(
    "kept_groups",
    metadata,
    _to("kept_graphs.id", name="graph_id"),
    Column("mark", BigInteger, nullable=False),
    Column("neighbour_marks", LargeBinary, nullable=False),
    Column("distances", LargeBinary, nullable=False),
    PrimaryKeyConstraint("graph_id", "mark"),
)

# What people said of faces. It names a box in a photo, not a row of `faces`: those are replaced when photos are
# searched for faces again.
corrections = Table(
    "corrections",
    metadata,
    _id(),
    _to("persons.id", name="person_id", index=True),
    _to("assets.id", name="asset_id", index=True),
    Column("x", Float, nullable=False),
    Column("y", Float, nullable=False),
    Column("width", Float, nullable=False),
    Column("height", Float, nullable=False),
    Column("kind", Text, nullable=False),
    _created_at(),
    CheckConstraint("kind IN ('is','is_not')", name="kind"),
)

# Persons who somebody said are two, whatever a clustering finds.
different_persons = Table(
    "different_persons",
    metadata,
    _to("persons.id", name="person_id"),
    _to("persons.id", name="other_id", index=True),
    PrimaryKeyConstraint("person_id", "other_id"),
    CheckConstraint("person_id < other_id", name="order"),
)

# Events that must reach NATS, written in the transaction that they tell of.
outbox = Table(
    "outbox",
    metadata,
    _id(),
    Column("subject", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    _created_at(),
)

# How long phases took on this installation: what an ETA starts from.
phase_history = Table(
    "phase_history",
    metadata,
    _id(),
    Column("phase", Text, nullable=False),
    Column("model_id", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("items", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    # Of clustering: all faces, or those that new ones touched; the times of one say nothing of the other's.
    Column("method", Text, nullable=False, server_default="full"),
    Column("finished_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("ix_phase_history_latest", "phase", "model_id", "device", "finished_at"),
    CheckConstraint("method IN ('full','incremental')", name="method"),
)
