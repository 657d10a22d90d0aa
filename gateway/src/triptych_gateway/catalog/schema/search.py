"""What is searched of each model's embeddings."""

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
    func,
    text,
)

from triptych_gateway.catalog.schema.base import id_column, metadata

# What is searched of each model's embeddings: a table `search_vectors_<number>` of its own, made by
# `catalog/search/search_tables.py`.
search_spaces = Table(
    "search_spaces",
    metadata,
    id_column(),
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
