"""Who may ask the interface, and what they had it do."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    func,
)

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

# What somebody had the gateway do. A trigger keeps rows from being changed, and for a day from being deleted.
audit = Table(
    "audit",
    metadata,
    id_column(),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
    Column("request_id", Text, nullable=False),
    # The name that the token had; null where none was asked for. No reference: this stays as it was written.
    Column("caller", Text),
    Column("token_id", BigInteger),
    Column("action", Text),
    Column("method", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("session_id", BigInteger),
    Column("person_id", BigInteger),
    Column("status", Integer, nullable=False),
    Index("ix_audit_session_id_id", "session_id", "id"),
)
