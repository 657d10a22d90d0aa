"""The library: directories and photos."""

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Index, Integer, LargeBinary, Table, Text, func

from triptych_gateway.catalog.schema.base import created_at_column, id_column, metadata

# Directories that no session walks.
ignored_directories = Table(
    "ignored_directories",
    metadata,
    id_column(),
    Column("path", LargeBinary, nullable=False, unique=True),
    Column("reason", Text),
    Column("ignored_by", Text),
    Column("ignored_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# Directories that hold photos of the library themselves; a trigger on `assets` keeps the counters.
directories = Table(
    "directories",
    metadata,
    id_column(),
    Column("path", LargeBinary, nullable=False, unique=True),
    Column("photo_count", BigInteger, nullable=False, server_default="0"),
    Column("trained_count", BigInteger, nullable=False, server_default="0"),
    Column("last_trained_at", DateTime(timezone=True)),
)

assets = Table(
    "assets",
    metadata,
    id_column(),
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
    created_at_column(),
    Index("ix_assets_size_bytes", "size_bytes"),
)
