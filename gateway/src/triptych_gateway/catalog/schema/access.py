"""Who may ask the interface."""

from sqlalchemy import CheckConstraint, Column, DateTime, LargeBinary, Table, Text

from triptych_gateway.catalog.schema.base import created_at_column, id_column, metadata

# API tokens. Of each only the hash is known.
tokens = Table(
    "tokens",
    metadata,
    id_column(),
    Column("name", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("secret_sha256", LargeBinary, nullable=False, unique=True),
    created_at_column(),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    CheckConstraint("scope IN ('read','control','admin')", name="scope"),
)
