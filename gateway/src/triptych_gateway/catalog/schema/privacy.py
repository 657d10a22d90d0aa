"""What is to be forgotten, what was, and what is not to be found again."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)

from triptych_gateway.catalog.schema.base import id_column, metadata, reference

# Persons, photos and sessions that somebody had forgotten: their ids and counts, and nothing of what they were.
forgettings = Table(
    "forgettings",
    metadata,
    id_column(),
    Column("kind", Text, nullable=False),
    Column("subject_id", BigInteger, nullable=False),
    # Of a person: whether the places of the faces are kept out of later searches for faces.
    Column("keeps_out", Boolean, nullable=False, server_default=text("false")),
    Column("persons", BigInteger, nullable=False, server_default="0"),
    Column("faces", BigInteger, nullable=False, server_default="0"),
    Column("photos", BigInteger, nullable=False, server_default="0"),
    Column("sessions", BigInteger, nullable=False, server_default="0"),
    # What it waits for, in one sentence.
    Column("waits_for", Text),
    Column("asked_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("done_at", DateTime(timezone=True)),
    UniqueConstraint("kind", "subject_id"),
    CheckConstraint("kind IN ('person','photo','session')", name="kind"),
)

# Photos that go with it and are still there.
forgetting_photos = Table(
    "forgetting_photos",
    metadata,
    reference("forgettings.id", name="forgetting_id"),
    Column("asset_id", BigInteger, nullable=False),
    PrimaryKeyConstraint("forgetting_id", "asset_id"),
)

# Places in photos of which no face is stored: boxes in shares of the upright photo. They say neither who was there nor
# which of them belong together.
kept_out_boxes = Table(
    "kept_out_boxes",
    metadata,
    reference("assets.id", name="asset_id"),
    Column("asset_version", Integer, nullable=False),
    Column("x", Float, nullable=False),
    Column("y", Float, nullable=False),
    Column("width", Float, nullable=False),
    Column("height", Float, nullable=False),
    PrimaryKeyConstraint("asset_id", "asset_version", "x", "y", "width", "height"),
)
