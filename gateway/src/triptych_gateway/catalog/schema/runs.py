"""How sessions run: leases, runs of phases, what is left of them, and what they announce."""

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

leases = Table(
    "leases",
    metadata,
    Column("session_id", BigInteger, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("holder", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)

# One execution of a phase; the one with the highest number is the phase as it stands.
runs = Table(
    "runs",
    metadata,
    id_column(),
    reference("sessions.id", name="session_id"),
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

# The photos of a run that need work, under dense ordinals: a shard is a range of them, the same after any crash. There
# is no reference to the photo: to check it for each of ten million rows, in an order that mixes them, takes longer than
# all else of a plan. A trigger on `assets` takes the places of a photo whose row goes.
run_items = Table(
    "run_items",
    metadata,
    reference("runs.id", name="run_id"),
    Column("ordinal", Integer, nullable=False),
    Column("asset_id", BigInteger, nullable=False),
    Column("state", Text, nullable=False, server_default="pending"),
    PrimaryKeyConstraint("run_id", "ordinal"),
    CheckConstraint("state IN ('pending','done','failed')", name="state"),
    Index("ix_run_items_pending", "run_id", "ordinal", postgresql_where=text("state = 'pending'")),
)

# Events that must reach NATS, written in the transaction that they tell of.
outbox = Table(
    "outbox",
    metadata,
    id_column(),
    Column("subject", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    created_at_column(),
)

# How long phases took on this installation: what an ETA starts from.
phase_history = Table(
    "phase_history",
    metadata,
    id_column(),
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
