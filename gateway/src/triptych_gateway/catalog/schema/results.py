"""What the services found in photos."""

from sqlalchemy import Column, Float, Index, Integer, PrimaryKeyConstraint, Table, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB

from triptych_gateway.catalog.schema.base import Vector, created_at_column, id_column, metadata, reference

embeddings = Table(
    "embeddings",
    metadata,
    reference("assets.id", name="asset_id"),
    Column("model_id", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("asset_version", Integer, nullable=False),
    Column("embedding", Vector, nullable=False),
    created_at_column(),
    PrimaryKeyConstraint("asset_id", "model_id", "generation"),
)

# One row per photo that was searched for faces, also where none was found.
face_scans = Table(
    "face_scans",
    metadata,
    reference("assets.id", name="asset_id"),
    Column("model_id", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("asset_version", Integer, nullable=False),
    Column("face_count", Integer, nullable=False),
    created_at_column(),
    PrimaryKeyConstraint("asset_id", "model_id", "generation"),
)

faces = Table(
    "faces",
    metadata,
    id_column(),
    reference("assets.id", name="asset_id"),
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
