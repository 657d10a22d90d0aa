"""What an installation needs: bytes in PostgreSQL, memory of each process, and how long a backup and its return take.

``storage``: a catalogue of many photos (as for the catalogue's bench), whose vectors of 512 numbers are random and so
compress as little as a model's, packed as a new table is (`VACUUM FULL`); bytes are those of tables with their indexes.

- ``photo_bytes``: rows about a photo (asset, job, ordinals of two runs, its part in counters), without vectors;
- ``embedding_bytes``, ``face_bytes``: a photo's embedding; a face with its vector, place and scan;
- ``search_bytes``: a photo in the table that is searched, with its graph;
- ``backup_seconds``, ``backup_bytes``, ``verify_seconds``, ``restore_seconds``: of the real commands' own functions.

``memory``: MB of resident memory of each process of `triptych up` with the bundled pack: after its start, and the most
that was seen while it trained on JPEGs of 0.3 to 12 megapixels; ``photos_per_second`` of the phases of photos then.

python benchmarks/operations.py --photos 50000
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg
import psutil

from benchmarks.pipeline import run_session, stack
from benchmarks.pipeline_corpus import make_corpus
from tests.support.large_library import MODEL, fill
from tests.support.real_servers import PostgresServer, postgres_server, run_apart
from tests.support.running_triptych import working_directory
from triptych_gateway.backup.creating import create_backup
from triptych_gateway.backup.restoring import restore_backup, verify_backup
from triptych_gateway.catalog.database import create_engine
from triptych_gateway.cli.stack.record import running_stack
from triptych_gateway.cli.stack.stack import Stack
from triptych_gateway.pipeline.search_upkeep import SearchUpkeep

DIMENSION: Final = 512
PARTS: Final = ("storage", "memory")
_STATEMENT_SECONDS: Final = 1800.0
_LOOK_SECONDS: Final = 0.5
_VECTOR: Final = """
    UPDATE {table} SET embedding = (
        SELECT array_agg((random() - 0.5)::real)::vector
        FROM generate_series(1, {dimension}) WHERE {table}.{key} > 0)"""
_OF_A_PHOTO: Final = ("assets", "session_assets", "run_items", "directories")
_OF_A_FACE: Final = ("faces", "face_places", "face_scans")

AnswerT = TypeVar("AnswerT")


async def _sizes(connection: asyncpg.Connection) -> dict[str, int]:
    """Bytes of each table with its indexes and what lies beside it."""
    rows = await connection.fetch(
        """SELECT c.relname AS name, pg_total_relation_size(c.oid) AS bytes FROM pg_class c
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace"""
    )
    return {row["name"]: row["bytes"] for row in rows}


async def _fill(url: str, *, photos: int, root: Path) -> dict[str, float]:
    """Fill a catalogue and give it long vectors; returns what it takes."""
    library = await fill(url, photos=photos, root=root)
    connection = await asyncpg.connect(url, command_timeout=_STATEMENT_SECONDS)
    try:
        await connection.execute("SET session_replication_role = replica")
        for table, key in (("embeddings", "asset_id"), ("faces", "id")):
            await connection.execute(_VECTOR.format(table=table, key=key, dimension=DIMENSION))
        await connection.execute(
            "INSERT INTO search_queue (model_id, asset_id) SELECT model_id, asset_id FROM embeddings"
        )
        await connection.execute("VACUUM FULL ANALYZE")
        sizes = await _sizes(connection)
        embeddings: int = await connection.fetchval("SELECT count(*) FROM embeddings")
    finally:
        await connection.close()
    return {
        "photos": photos,
        "faces": library.faces,
        "photo_bytes": sum(sizes[name] for name in _OF_A_PHOTO) / photos,
        "embedding_bytes": sizes["embeddings"] / embeddings,
        "face_bytes": sum(sizes[name] for name in _OF_A_FACE) / library.faces,
    }


async def _search_bytes(url: str) -> float:
    """Bytes of a photo in the table that is searched."""
    engine = create_engine(url, statement_seconds=_STATEMENT_SECONDS)
    try:
        async with engine.connect() as connection:
            await SearchUpkeep(engine, exact_below=1, build_memory_bytes=2**30).look(connection)
    finally:
        await engine.dispose()
    connection = await asyncpg.connect(url)
    try:
        sizes = await _sizes(connection)
        count: int = await connection.fetchval("SELECT photo_count FROM search_spaces WHERE model_id = $1", MODEL)
    finally:
        await connection.close()
    return sum(size for name, size in sizes.items() if name.startswith("search_vectors_")) / count


async def _timed(work: Awaitable[AnswerT]) -> tuple[AnswerT, float]:
    began = time.monotonic()
    return await work, time.monotonic() - began


async def _back_and_forth(url: str, other_url: str, folder: Path) -> dict[str, float]:
    """Make a backup, read it, and restore it into an empty database."""
    backup, backup_seconds = await _timed(create_backup(url, folder))
    _, verify_seconds = await _timed(verify_backup(backup))
    _, restore_seconds = await _timed(restore_backup(other_url, backup, replace=False, nats_url=None))
    return {
        "backup_seconds": backup_seconds,
        "backup_bytes": backup.size_bytes,
        "verify_seconds": verify_seconds,
        "restore_seconds": restore_seconds,
    }


async def _storage(postgres: PostgresServer, folder: Path, *, photos: int) -> dict[str, float]:
    url, other_url = postgres.url(postgres.create_database()), postgres.url(postgres.create_database(migrated=False))
    figures = await _fill(url, photos=photos, root=folder / "photos")
    figures["search_bytes"] = await _search_bytes(url)
    return figures | await _back_and_forth(url, other_url, folder / "backups")


def storage(*, photos: int) -> dict[str, float]:
    """What a catalogue takes, and what moving it costs."""
    with postgres_server() as postgres, tempfile.TemporaryDirectory() as folder:
        return run_apart(_storage(postgres, Path(folder), photos=photos))


def _memory_bytes(running: Stack) -> dict[str, int]:
    """Resident memory of each process; of PostgreSQL what none of its processes shares, and what they do once."""
    record = running_stack(running.data_directory)
    if record is None:
        raise RuntimeError("the stack is not running")
    found = {}
    for name, one in record.processes.items():
        process = psutil.Process(one.process_id)
        family = [process, *process.children(recursive=True)]
        found[name] = sum(member.memory_full_info().pss for member in family)
    return found


async def memory(*, photos: int) -> dict[str, Any]:
    """What each process takes of memory, at rest and at work."""
    with working_directory() as directory:
        media = directory / "photos"
        make_corpus(media / "library", photos=photos)
        async with stack(directory / "data", media, {}) as running:
            at_rest = _memory_bytes(running)
            most = dict(at_rest)
            session = asyncio.create_task(run_session(running, media / "library"))
            while not session.done():
                for name, size in (await asyncio.to_thread(_memory_bytes, running)).items():
                    most[name] = max(most[name], size)
                await asyncio.wait([session], timeout=_LOOK_SECONDS)
            return {
                "photos": photos,
                "at_rest_mb": {name: round(size / 1e6) for name, size in at_rest.items()},
                "most_mb": {name: round(size / 1e6) for name, size in most.items()},
                "photos_per_second": {phase: round(rate, 1) for phase, rate in session.result().items()},
            }


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=50_000, help="Photos of the catalogue")
    parser.add_argument("--trained", type=int, default=200, help="Photos that are trained on")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "load_average": os.getloadavg()[0]}
    if "storage" in arguments.parts:
        figures["storage"] = {name: round(value, 1) for name, value in storage(photos=arguments.photos).items()}
    if "memory" in arguments.parts:
        figures["memory"] = asyncio.run(memory(photos=arguments.trained))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
