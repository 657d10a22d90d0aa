"""What the tables are made of: their metadata, sequences, pgvector's type, and columns that many have."""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    MetaData,
    Sequence,
    func,
)
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


def id_column() -> Column[int]:
    """Its own number."""
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def created_at_column() -> Column[Any]:
    """When the row was made."""
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


def reference(
    column: str, *, name: str, nullable: bool = False, index: bool = False, gone: str = "CASCADE"
) -> Column[int]:
    """A column that refers to another table's; its rows go, or become null, when that row goes (``gone``)."""
    return Column(name, BigInteger, ForeignKey(column, ondelete=gone), nullable=nullable, index=index)
