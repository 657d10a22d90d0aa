"""Tables of the vectors that are searched: made beside the one in use, filled, indexed, kept up to date, removed.

A table holds one model's shown vectors at half precision and unit length, in its rows rather than beside them: so it is
read from end to end quickly, and pgvector's HNSW takes twice the dimensions. It may lag behind `embeddings`, which is
asked for everything that is shown; what waits is in `search_queue`. One process at a time writes these tables: the one
that holds `database.SEARCH_LOCK`.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_common.logging import get_logger
from triptych_gateway.catalog.schema import LIVE_GENERATION
from triptych_gateway.catalog.search.search_spaces import BuildStage, SearchSpace, table_name

log = get_logger(__name__)

MOST_DIMENSIONS: Final = 4000
"""Of a vector at half precision that fits into a page with its row, and that pgvector's HNSW takes."""
_COPIED_AT_ONCE: Final = 10_000
_BYTES_BESIDE_A_VECTOR: Final = 700
"""Of a vector's place in the graph while it is built: its neighbours on all levels (m = 16), with room to spare."""
_LEAST_BUILD_BYTES: Final = 64 * 2**20
_DISK_FULL: Final = "53100"
"""Also what PostgreSQL says where shared memory is full: containers have 64 MB of it unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class Copied:
    """How far the filling of a table is."""

    after_asset_id: int
    rows: int
    """In the table so far."""
    is_whole: bool


async def find_dimension(connection: AsyncConnection, model_id: str) -> int | None:
    """Dimension of a model's shown vectors; None where there are none."""
    found: int | None = (
        await connection.execute(
            text(f"""
                SELECT vector_dims(embedding) FROM embeddings
                WHERE model_id = :model_id AND generation = {LIVE_GENERATION} LIMIT 1"""),  # noqa: S608 - constants
            {"model_id": model_id},
        )
    ).scalar()
    return found


async def do_without_table(connection: AsyncConnection, space: SearchSpace, *, dimension: int) -> None:
    """Note that vectors of this dimension are too long for a table."""
    await connection.execute(
        text("UPDATE search_spaces SET dimension = :dimension, rebuild_asked_at = NULL WHERE id = :id"),
        {"id": space.id, "dimension": dimension},
    )


async def begin_table(connection: AsyncConnection, space: SearchSpace, *, dimension: int) -> int:
    """Make an empty table beside the one in use; returns its number."""
    number: int = (await connection.execute(text("SELECT nextval('search_tables')"))).scalar_one()
    name = table_name(number)
    await connection.execute(
        text(f"CREATE TABLE {name} (asset_id bigint PRIMARY KEY, vector halfvec({dimension:d}) NOT NULL)")
    )
    await connection.execute(text(f"ALTER TABLE {name} ALTER COLUMN vector SET STORAGE PLAIN"))
    # What is there when the copying begins is copied; those that a writer holds at this moment come later.
    await connection.execute(
        text("""
            UPDATE search_queue SET building_number = :number WHERE model_id = :model_id AND asset_id = ANY(ARRAY(
                SELECT asset_id FROM search_queue WHERE model_id = :model_id FOR UPDATE SKIP LOCKED))"""),
        {"number": number, "model_id": space.model_id},
    )
    total = (
        await connection.execute(
            text(f"SELECT count(*) FROM embeddings WHERE model_id = :model_id AND generation = {LIVE_GENERATION}"),  # noqa: S608
            {"model_id": space.model_id},
        )
    ).scalar_one()
    await connection.execute(
        text("""
            UPDATE search_spaces SET dimension = :dimension, building_number = :number, build_stage = 'copying',
                build_done = 0, build_total = :total WHERE id = :id"""),
        {"id": space.id, "dimension": dimension, "number": number, "total": total},
    )
    return number


async def copy_some(
    connection: AsyncConnection, space: SearchSpace, number: int, *, dimension: int, copied: Copied
) -> Copied:
    """Copy the next vectors of a model into a new table."""
    row = (
        await connection.execute(
            text(f"""
                WITH part AS MATERIALIZED (
                    SELECT asset_id, embedding FROM embeddings
                    WHERE asset_id > :after AND model_id = :model_id AND generation = {LIVE_GENERATION}
                    ORDER BY asset_id LIMIT {_COPIED_AT_ONCE}),
                put AS (
                    INSERT INTO {table_name(number)} (asset_id, vector)
                    SELECT asset_id, {_as_searched("embedding", dimension)} FROM part
                    WHERE vector_dims(embedding) = {dimension:d} RETURNING 1)
                SELECT max(asset_id) AS last, count(*) AS seen, (SELECT count(*) FROM put) AS put FROM part"""),  # noqa: S608
            {"after": copied.after_asset_id, "model_id": space.model_id},
        )
    ).one()
    after = Copied(
        after_asset_id=copied.after_asset_id if row.last is None else row.last,
        rows=copied.rows + row.put,
        is_whole=row.seen < _COPIED_AT_ONCE,
    )
    await note_progress(connection, space, stage="copying", done=after.rows)
    return after


async def note_progress(connection: AsyncConnection, space: SearchSpace, *, stage: BuildStage, done: int) -> None:
    """Tell how far the building of a space's table is."""
    await connection.execute(
        text("""
            UPDATE search_spaces SET build_stage = :stage, build_done = :done,
                build_total = greatest(build_total, :done) WHERE id = :id"""),
        {"id": space.id, "stage": stage, "done": done},
    )


async def link(connection: AsyncConnection, number: int, *, rows: int, dimension: int, most_bytes: int) -> None:
    """Build the graph of a new table, in memory where it fits into so many bytes; else slower, and with a log line."""
    needed = int(rows * (2 * dimension + _BYTES_BESIDE_A_VECTOR) * 1.2)
    if needed > most_bytes:
        log.warning(
            "the search index does not fit into the memory it may use, and is built more slowly",
            needed_bytes=needed,
            most_bytes=most_bytes,
        )
    memory = min(max(needed, _LEAST_BUILD_BYTES), most_bytes)
    for workers in (None, 0):
        try:
            async with connection.begin_nested():
                await _create_graph(connection, number, memory_bytes=memory, workers=workers)
        except DBAPIError as error:
            if workers is not None or _state_of(error) != _DISK_FULL:
                raise
            log.warning("no room in shared memory; the search index is built by one process", error=str(error.orig))
        else:
            break


async def analyze(connection: AsyncConnection, number: int) -> None:
    """Let the planner know a new table."""
    await connection.execute(text(f"ANALYZE {table_name(number)}"))


async def _create_graph(connection: AsyncConnection, number: int, *, memory_bytes: int, workers: int | None) -> None:
    settings = {"maintenance_work_mem": f"{memory_bytes // 1024}kB"}
    if workers is not None:
        settings["max_parallel_maintenance_workers"] = str(workers)
    for name, value in settings.items():
        await connection.execute(text("SELECT set_config(:name, :value, true)"), {"name": name, "value": value})
    name = table_name(number)
    # Nobody else uses the table yet, so a plain build blocks nobody.
    await connection.execute(text(f"CREATE INDEX {name}_graph ON {name} USING hnsw (vector halfvec_cosine_ops)"))


def _state_of(error: DBAPIError) -> str | None:
    """SQLSTATE of what the database said."""
    state: str | None = getattr(error.orig, "sqlstate", None)
    return state


async def take_into_use(
    connection: AsyncConnection, space: SearchSpace, number: int, *, rows: int, has_graph: bool, seconds: float
) -> None:
    """Search a new table from now on, and remove the one that it replaces."""
    await connection.execute(
        text("""
            UPDATE search_spaces SET table_number = :number, photo_count = :rows, has_graph = :has_graph,
                rebuild_asked_at = NULL, building_number = NULL, build_stage = NULL, build_done = 0, build_total = 0,
                built_at = now(), build_seconds = :seconds WHERE id = :id"""),
        {"id": space.id, "number": number, "rows": rows, "has_graph": has_graph, "seconds": seconds},
    )
    await connection.execute(
        text("DELETE FROM search_queue WHERE model_id = :model_id AND building_number = :number"),
        {"number": number, "model_id": space.model_id},
    )
    if space.table is not None:
        await connection.execute(text(f"DROP TABLE IF EXISTS {space.table}"))


async def remove_space(connection: AsyncConnection, space: SearchSpace) -> None:
    """Remove a space whose vectors are gone, with its table."""
    if space.table is not None:
        await connection.execute(text(f"DROP TABLE IF EXISTS {space.table}"))
    await connection.execute(text("DELETE FROM search_spaces WHERE id = :id"), {"id": space.id})


async def remove_leftovers(connection: AsyncConnection) -> list[str]:
    """Remove tables that a process that is gone did not finish; returns their names."""
    rows = await connection.execute(
        text(r"""
            SELECT t.tablename FROM pg_tables t
            WHERE t.schemaname = current_schema() AND t.tablename ~ '^search_vectors_[0-9]+$' AND NOT EXISTS (
                SELECT 1 FROM search_spaces s WHERE t.tablename = 'search_vectors_' || s.table_number)""")
    )
    names = [row.tablename for row in rows]
    for name in names:
        await connection.execute(text(f"DROP TABLE {name}"))
    await connection.execute(
        text("""
            UPDATE search_spaces SET building_number = NULL, build_stage = NULL, build_done = 0, build_total = 0
            WHERE building_number IS NOT NULL""")
    )
    return names


async def put_waiting(connection: AsyncConnection, space: SearchSpace, *, most: int) -> int:
    """Bring at most so many waiting photos of a space up to date in its table; returns how many there were.

    Where the space has no table they are only taken from the queue.
    """
    # Those that a writer holds at this moment come later.
    taken = await connection.execute(
        text("""
            DELETE FROM search_queue WHERE model_id = :model_id AND asset_id = ANY(ARRAY(
                SELECT asset_id FROM search_queue WHERE model_id = :model_id
                ORDER BY asset_id LIMIT :most FOR UPDATE SKIP LOCKED))
            RETURNING asset_id"""),
        {"model_id": space.model_id, "most": most},
    )
    ids = [row.asset_id for row in taken]
    if ids and space.table is not None and space.dimension is not None:
        change = await _put(connection, space.table, ids, model_id=space.model_id, dimension=space.dimension)
        await connection.execute(
            text("UPDATE search_spaces SET photo_count = photo_count + :change WHERE id = :id"),
            {"id": space.id, "change": change},
        )
    return len(ids)


async def _put(connection: AsyncConnection, table: str, ids: list[int], *, model_id: str, dimension: int) -> int:
    """Make a table hold what these photos' embeddings are now; returns by how much it grew."""
    change: Any = (
        await connection.execute(
            text(f"""
                WITH now_there AS MATERIALIZED (
                    SELECT asset_id, {_as_searched("embedding", dimension)} AS vector FROM embeddings
                    WHERE asset_id = ANY(CAST(:ids AS bigint[])) AND model_id = :model_id
                        AND generation = {LIVE_GENERATION} AND vector_dims(embedding) = {dimension:d}),
                put AS (
                    INSERT INTO {table} (asset_id, vector) SELECT asset_id, vector FROM now_there
                    ON CONFLICT (asset_id) DO UPDATE SET vector = excluded.vector RETURNING xmax = 0 AS is_new),
                gone AS (
                    DELETE FROM {table} WHERE asset_id = ANY(CAST(:ids AS bigint[]))
                        AND asset_id NOT IN (SELECT asset_id FROM now_there) RETURNING 1)
                SELECT (SELECT count(*) FROM put WHERE is_new) - (SELECT count(*) FROM gone)"""),  # noqa: S608
            {"ids": ids, "model_id": model_id},
        )
    ).scalar_one()
    return int(change)


def _as_searched(column: str, dimension: int) -> str:
    """A vector as the tables hold it: of unit length, so that no number is too large for half precision."""
    return f"CAST(l2_normalize({column}) AS halfvec({dimension:d}))"
