"""Sessions, what they walk, and their photos as jobs."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from triptych_gateway.catalog.schema.base import created_at_column, id_column, metadata, reference

categories = Table(
    "categories",
    metadata,
    id_column(),
    Column("name", Text, nullable=False, unique=True),
    Column("description", Text),
    Column("color", Text),
    Column("is_default", Boolean, nullable=False, server_default=text("false")),
    created_at_column(),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("uq_categories_default", "is_default", unique=True, postgresql_where=text("is_default")),
)

sessions = Table(
    "sessions",
    metadata,
    id_column(),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("root_path", LargeBinary, nullable=False),
    Column("config", JSONB, nullable=False, server_default="{}"),
    Column("weights", JSONB, nullable=False),
    Column("weighting", Text, nullable=False, server_default="fixed"),
    reference("categories.id", name="category_id", nullable=True, index=True, gone="SET NULL"),
    Column("lifecycle_step", BigInteger, nullable=False, server_default="0"),
    Column("error_code", Text),
    Column("error_message", Text),
    # Photos that discovery has come upon so far.
    Column("photos_found", BigInteger, nullable=False, server_default="0"),
    created_at_column(),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("started_at", DateTime(timezone=True)),
    Column("discovered_at", DateTime(timezone=True)),
    # When evidence was gathered and weights became final, right before the first phase.
    Column("prepared_at", DateTime(timezone=True)),
    Column("paused_at", DateTime(timezone=True)),
    Column("completed_at", DateTime(timezone=True)),
    # W3C trace context of the request that set it going last, where that is traced.
    Column("traceparent", Text),
    CheckConstraint("status IN ('pending','running','paused','completed','failed','cancelled')", name="status"),
    CheckConstraint("weighting IN ('fixed','calibrated')", name="weighting"),
    Index("ix_sessions_updated_at", "updated_at"),
    Index("ix_sessions_running", "id", postgresql_where=text("status = 'running'")),
)

# The directories that a session walks: those that were chosen, or its root.
session_directories = Table(
    "session_directories",
    metadata,
    id_column(),
    reference("sessions.id", name="session_id"),
    Column("path", LargeBinary, nullable=False),
    Column("selected", Boolean, nullable=False, server_default=text("true")),
    created_at_column(),
    UniqueConstraint("session_id", "path"),
)

# A session's photos: the contract's jobs, one per photo.
session_assets = Table(
    "session_assets",
    metadata,
    id_column(),
    reference("sessions.id", name="session_id"),
    reference("assets.id", name="asset_id", index=True),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("error_phase", Text),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("processing_microseconds", BigInteger),
    created_at_column(),
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
    reference("sessions.id", name="session_id"),
    Column("status", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    PrimaryKeyConstraint("session_id", "status"),
)

# What discovery could not read.
session_problems = Table(
    "session_problems",
    metadata,
    id_column(),
    reference("sessions.id", name="session_id"),
    Column("path", LargeBinary, nullable=False),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Index("ix_session_problems_order", "session_id", "id"),
)
