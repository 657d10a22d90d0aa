"""Search spaces: what is searched of each model's embeddings, how it stands, and what waits to be put there."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.errors import NotFoundError

BuildStage = Literal["copying", "linking"]
_TABLE_PREFIX: Final = "search_vectors_"


MAKE_ANEW_SQL: Final = """
    UPDATE search_spaces SET table_number = NULL, photo_count = 0, has_graph = false, rebuild_asked_at = now(),
        building_number = NULL, build_stage = NULL, build_done = 0, build_total = 0"""
"""For a catalogue whose tables of vectors are not there; until they are made, searches compare each photo."""


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """The vectors of one model, as they are searched."""

    id: int
    model_id: str
    dimension: int | None
    photo_count: int
    """Vectors in its table."""
    table_number: int | None
    """None before the first table is built, and where vectors are too long for one."""
    has_graph: bool
    """Whether the table has an approximate index."""
    rebuild_asked_at: datetime | None
    building_number: int | None
    build_stage: BuildStage | None
    build_done: int
    build_total: int
    built_at: datetime | None
    build_seconds: float | None

    @property
    def table(self) -> str | None:
        """Name of its table."""
        return None if self.table_number is None else table_name(self.table_number)


@dataclass(frozen=True, kw_only=True)
class SpaceState:
    """A space with what only a look at the database tells."""

    space: SearchSpace
    waiting: int
    """Photos that came, changed or went since, and are not in the table yet."""
    size_bytes: int
    """Of the table with its index."""
    linked: int | None
    """Vectors in the index that is being built; None while none is."""


_COLUMNS: Final = ", ".join(f"s.{name}" for name in SearchSpace.__dataclass_fields__)


def table_name(number: int) -> str:
    """The name of a table of vectors."""
    return f"{_TABLE_PREFIX}{number}"


def _space(row: Any) -> SearchSpace:
    return SearchSpace(**{name: getattr(row, name) for name in SearchSpace.__dataclass_fields__})


async def find_space(connection: AsyncConnection, model_id: str) -> SearchSpace | None:
    """The space of a model; None where nothing has been put there yet."""
    row = (
        await connection.execute(
            text(f"SELECT {_COLUMNS} FROM search_spaces s WHERE s.model_id = :model_id"),  # noqa: S608 - constants
            {"model_id": model_id},
        )
    ).first()
    return None if row is None else _space(row)


async def list_spaces(connection: AsyncConnection) -> list[SearchSpace]:
    """All spaces, by model."""
    rows = await connection.execute(text(f"SELECT {_COLUMNS} FROM search_spaces s ORDER BY s.model_id"))  # noqa: S608
    return [_space(row) for row in rows]


async def add_new_spaces(connection: AsyncConnection) -> None:
    """Make a space for each model that has something waiting and no space yet."""
    await connection.execute(
        text("""
            WITH RECURSIVE models AS (
                (SELECT model_id FROM search_queue ORDER BY model_id LIMIT 1)
                UNION ALL
                SELECT (SELECT q.model_id FROM search_queue q WHERE q.model_id > m.model_id ORDER BY q.model_id LIMIT 1)
                FROM models m WHERE m.model_id IS NOT NULL)
            INSERT INTO search_spaces (model_id) SELECT model_id FROM models WHERE model_id IS NOT NULL
            ON CONFLICT (model_id) DO NOTHING""")
    )


async def count_waiting(connection: AsyncConnection, model_id: str) -> int:
    """Photos whose vector of a model waits to be put into its table, or to be taken out."""
    counted: int = (
        await connection.execute(
            text("SELECT count(*) FROM search_queue WHERE model_id = :model_id"), {"model_id": model_id}
        )
    ).scalar_one()
    return counted


async def look_at(connection: AsyncConnection, space: SearchSpace) -> SpaceState:
    """A space as it stands at this moment."""
    names = {
        "held": space.table or "",
        "building": table_name(space.building_number) if space.building_number is not None else "",
    }
    row = (
        await connection.execute(
            text("""
                SELECT coalesce(pg_total_relation_size(to_regclass(nullif(:held, ''))), 0) AS size_bytes,
                    (SELECT p.tuples_done FROM pg_stat_progress_create_index p
                        WHERE p.relid = to_regclass(nullif(:building, ''))) AS linked"""),
            names,
        )
    ).one()
    return SpaceState(
        space=space,
        waiting=await count_waiting(connection, space.model_id),
        size_bytes=row.size_bytes,
        linked=row.linked,
    )


async def ask_for_rebuild(connection: AsyncConnection, model_id: str | None) -> None:
    """Have the table of a model, or of all, made anew; one that is being made counts. Raises NotFoundError."""
    found = (
        await connection.execute(
            text("""
                UPDATE search_spaces SET rebuild_asked_at = coalesce(rebuild_asked_at, now())
                WHERE CAST(:model_id AS text) IS NULL OR model_id = :model_id RETURNING id"""),
            {"model_id": model_id},
        )
    ).all()
    if model_id is not None and not found:
        raise NotFoundError(f"No photo has an embedding of the model {model_id}.")
