"""Speed and recall of search over very many photos, and what its index costs.

A real PostgreSQL with the settings of `triptych up` is filled with photos, sessions and persons (as for the catalogue's
bench); vectors of 512 dimensions in clusters arrive while the real gateway runs, which builds the index by itself, and
once more when it is asked to. Then the gateway is asked, one request at a time, for the 10 photos nearest to others and
to texts, whose vectors lie apart from those of all photos as CLIP's do, also of one person, one session, and both.

- ``kinds``: p50 and p95 in milliseconds over HTTP after a warm-up, and recall at 10 against exact search in float32.
- ``arriving_per_second``: vectors a second that were written, beside ``arriving_per_second_alone`` with no upkeep at
  work: what being indexed costs those who write.
- ``until_searchable_seconds``: from the last vector's arrival until none waited; ``rebuild_seconds``: of a rebuild.
- ``index_bytes``: of table and graph; ``build_memory_bytes``: most that PostgreSQL's processes had more while it was
  built.
- ``a_photo_p95_ms``: of asking for one photo by its id, in the same way: what else the machine does counts in both.
- ``p95_ms``, ``recall_at_10``: the worst of all kinds.

python benchmarks/search.py 100000 --seed 0
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import numpy as np
import psutil
from numpy.typing import NDArray
from pgvector.asyncpg import register_vector

from tests.support.large_library import MODEL, fill
from tests.support.real_servers import PostgresServer, nats_server, postgres_server
from tests.support.running_gateway import running_gateway
from tests.support.scripted_workers import scripted_workers
from triptych_common.models.description import vector_to_bytes

DIMENSION: Final = 512
FOUND: Final = 10
_INNER_DIMENSIONS: Final = 64
_PHOTOS_PER_CLUSTER: Final = 100
_AT_ONCE: Final = 500
_ALONE: Final = 20_000
"""Vectors that are written while nothing else goes on, to compare with."""
_QUERIES: Final = 100
_WARM_UPS: Final = 20
_TRAINED_SHARE: Final = 0.95
_DEADLINE_SECONDS: Final = 900.0

_INSERT: Final = f"""
    INSERT INTO embeddings (asset_id, model_id, generation, asset_version, embedding)
    VALUES ($1, '{MODEL}', 1, 1, $2)"""  # noqa: S608

Vectors = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Space:
    """Photos with their vectors, and questions that are no photo's."""

    asset_ids: NDArray[np.int64]
    vectors: Vectors
    texts: Vectors


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One way to ask."""

    name: str
    fields: dict[str, int]
    """What narrows the search."""
    allowed: NDArray[np.bool_]
    """Which photos may be found."""
    by_text: bool = False


def make_vectors(count: int, *, seed: int) -> tuple[Vectors, Vectors]:
    """Unit vectors of photos in clusters around a common direction, and of texts around another."""
    random = np.random.default_rng(seed)
    clusters = random.normal(size=(max(50, count // _PHOTOS_PER_CLUSTER), _INNER_DIMENSIONS))
    spread = random.normal(size=(_INNER_DIMENSIONS, DIMENSION)) / np.sqrt(_INNER_DIMENSIONS)
    of_photos, of_texts = random.normal(size=(2, DIMENSION)) * 0.8

    def some(number: int) -> NDArray[np.float64]:
        inner = clusters[random.integers(len(clusters), size=number)] * 0.7
        inner = inner + random.normal(size=(number, _INNER_DIMENSIONS)) * 0.6
        return np.asarray(inner @ spread + random.normal(size=(number, DIMENSION)) * 0.15)

    return _unit(some(count) + of_photos), _unit(some(_QUERIES + _WARM_UPS) + of_texts)


def _unit(vectors: NDArray[np.float64]) -> Vectors:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


async def arrive(database_url: str, space: Space, *, most: int | None = None) -> float:
    """Write the vectors as a run would, some at a time; returns how many a second."""
    ids = space.asset_ids[:most]
    connection = await asyncpg.connect(database_url, command_timeout=_DEADLINE_SECONDS)
    try:
        await register_vector(connection)
        began = time.perf_counter()
        for first in range(0, len(ids), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            await connection.executemany(
                _INSERT,
                list(zip(ids[some].tolist(), space.vectors[: len(ids)][some], strict=True)),
            )
        return len(ids) / (time.perf_counter() - began)
    finally:
        await connection.close()


async def prepare(database_url: str, *, count: int, seed: int, root: Path) -> tuple[Space, list[int]]:
    """Fill the catalogue, all but the vectors; returns them, and the sessions."""
    photos = int(count / _TRAINED_SHARE) + 1_000
    library = await fill(database_url, photos=photos, root=root)
    connection = await asyncpg.connect(database_url, command_timeout=_DEADLINE_SECONDS)
    try:
        # What waits for nobody: the vectors are to come while the gateway looks.
        await connection.execute("TRUNCATE embeddings, search_queue, search_spaces")
        rows = await connection.fetch(
            "SELECT id FROM assets WHERE trained_at IS NOT NULL ORDER BY hashint8(id), id LIMIT $1", count
        )
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
    vectors, texts = make_vectors(len(rows), seed=seed)
    ids = np.array([row["id"] for row in rows], np.int64)
    return Space(asset_ids=ids, vectors=vectors, texts=texts), list(library.session_ids)


async def make_kinds(database_url: str, space: Space, session_ids: Sequence[int]) -> list[Kind]:
    """Every way to ask: of all photos, and with filters that leave many, some and few."""
    connection = await asyncpg.connect(database_url)
    try:

        async def allowed(query: str, *parameters: int) -> NDArray[np.bool_]:
            ids = [row[0] for row in await connection.fetch(query, *parameters)]
            return np.isin(space.asset_ids, np.array(ids, np.int64))

        of_person = "SELECT asset_id FROM face_places WHERE person_id = $1 AND shown"
        of_session = "SELECT asset_id FROM session_assets WHERE session_id = $1"
        persons = [row["id"] for row in await connection.fetch("SELECT id FROM persons ORDER BY face_count DESC, id")]
        everything = np.ones(len(space.asset_ids), bool)
        kinds = [
            Kind(name="photo", fields={}, allowed=everything),
            Kind(name="text", fields={}, allowed=everything, by_text=True),
        ]
        for name, person_id in (("largest", persons[0]), ("middle", persons[len(persons) // 10])):
            kinds.append(
                Kind(name=f"{name} person", fields={"personId": person_id}, allowed=await allowed(of_person, person_id))
            )
        for name, session_id in (("largest", session_ids[0]), ("middle", session_ids[20]), ("tiny", session_ids[-1])):
            kinds.append(
                Kind(
                    name=f"{name} session",
                    fields={"sessionId": session_id},
                    allowed=await allowed(of_session, session_id),
                )
            )
        in_session = next(one for one in kinds if one.name == "largest session")
        kinds += [
            Kind(
                name=f"{person.name} in the largest session",
                fields={**person.fields, **in_session.fields},
                allowed=person.allowed & in_session.allowed,
            )
            for person in kinds
            if "person" in person.name
        ]
        text_kinds = [
            dataclasses.replace(one, name=f"text, {one.name}", by_text=True)
            for one in kinds
            if one.name in ("largest person", "largest session")
        ]
        return kinds + text_kinds
    finally:
        await connection.close()


def measure_kind(client: httpx.Client, space: Space, kind: Kind, *, seed: int) -> dict[str, float]:
    """Latencies, and the share of the exact ten that were found."""
    random = np.random.default_rng(seed + 1)
    places = random.choice(len(space.asset_ids), _QUERIES + _WARM_UPS)
    took, wanted, met = [], 0, 0
    for number, place in enumerate(places):
        vector = space.texts[number] if kind.by_text else space.vectors[place]
        asked = {"text": str(number)} if kind.by_text else {"assetId": int(space.asset_ids[place])}
        began = time.perf_counter()
        answer = client.post("/api/v1/search", json={**asked, **kind.fields, "limit": FOUND})
        elapsed = (time.perf_counter() - began) * 1000
        if not answer.is_success:
            raise RuntimeError(f"{answer.request.url} was answered {answer.status_code}: {answer.text[:300]}")
        if number < _WARM_UPS:
            continue
        took.append(elapsed)
        scores = np.where(kind.allowed, space.vectors @ vector, -2.0)
        if not kind.by_text:
            scores[place] = -2.0
        best = np.sort(scores)[::-1][:FOUND]
        best = best[best > -2.0]
        found = [item["score"] for item in answer.json()["items"]]
        wanted += len(best)
        # By score: of equal ones any may be found.
        met += sum(1 for score in found if score >= best[-1] - 1e-6) if len(best) else 0
    p50, p95 = np.percentile(took, [50, 95])
    figures = {
        "photos": int(kind.allowed.sum()),
        "p50_ms": round(float(p50), 1),
        "p95_ms": round(float(p95), 1),
        "recall_at_10": round(met / wanted, 4) if wanted else 1.0,
    }
    sys.stdout.write(f"{kind.name:40} {figures}\n")
    sys.stdout.flush()
    return figures


def measure_photo(client: httpx.Client, space: Space) -> float:
    """p95 in milliseconds of asking for a photo by its id."""
    took = []
    for asset_id in space.asset_ids[: _QUERIES + _WARM_UPS]:
        began = time.perf_counter()
        client.get(f"/api/v1/images/{asset_id}").raise_for_status()
        took.append((time.perf_counter() - began) * 1000)
    return round(float(np.percentile(took[_WARM_UPS:], 95)), 1)


def index_of(client: httpx.Client) -> dict[str, Any]:
    """The space that is searched, as the gateway tells it; empty before it knows it."""
    spaces = client.get("/api/v1/search/index").raise_for_status().json()["spaces"]
    return dict(spaces[0]) if spaces else {}


def until_ready(client: httpx.Client, count: int) -> dict[str, Any]:
    """Wait until all vectors are in the index that is in use; returns it."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    shown = ""
    while time.monotonic() < deadline:
        index = index_of(client)
        if index and (index["state"], index["waiting"], index["photos"]) == ("ready", 0, count):
            return index
        if index and (line := f"{index['state']} {index['done']}/{index['total']}, {index['waiting']} wait") != shown:
            shown = line
            sys.stdout.write(f"  {line}\n")
            sys.stdout.flush()
        time.sleep(0.5)
    raise RuntimeError(f"the index was not ready in time: {index}")


@contextlib.contextmanager
def most_memory(postgres: PostgresServer) -> Iterator[list[int]]:
    """Watches the bytes that PostgreSQL's processes have to themselves, or share in dynamic memory, over those now."""
    most = [0]
    ended = threading.Event()
    before = _private_bytes(postgres)

    def watch() -> None:
        while not ended.wait(0.5):
            most[0] = max(most[0], _private_bytes(postgres) - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def _private_bytes(postgres: PostgresServer) -> int:
    total = sum(file.stat().st_blocks * 512 for file in Path("/dev/shm").glob("PostgreSQL.*"))  # noqa: S108
    for process in psutil.Process(postgres.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().uss
    return total


def rebuild(client: httpx.Client, postgres: PostgresServer, count: int) -> tuple[dict[str, Any], int]:
    """Have the index built anew; returns it, and the memory that it took."""
    before = index_of(client)["builtAt"]
    with most_memory(postgres) as memory:
        client.post("/api/v1/search/index/rebuild").raise_for_status()
        index = until_ready(client, count)
        while index["builtAt"] == before:
            index = until_ready(client, count)
    return index, memory[0]


def measure(count: int, folder: Path, *, seed: int) -> dict[str, Any]:
    """All figures."""
    with postgres_server() as postgres, nats_server(folder) as nats_url, scripted_workers() as workers:
        database_url = postgres.url(postgres.create_database())
        space, session_ids = asyncio.run(
            prepare(database_url, count=count, seed=seed, root=folder / "media" / "library")
        )
        embedder = workers.embedder
        embedder.model = dataclasses.replace(embedder.model, model_id=MODEL, dimension=DIMENSION)
        embedder.vector_of_text = lambda text: vector_to_bytes(space.texts[int(text)])
        alone = asyncio.run(arrive(database_url, space, most=_ALONE))
        asyncio.run(_forget(database_url))
        with (
            running_gateway(
                database_url=database_url, nats_url=nats_url, folder=folder, **workers.settings()
            ) as gateway,
            gateway.client() as client,
        ):
            arriving = asyncio.run(arrive(database_url, space))
            began = time.perf_counter()
            until_ready(client, count)
            searchable = time.perf_counter() - began
            index, memory = rebuild(client, postgres, count)
            kinds = asyncio.run(make_kinds(database_url, space, session_ids))
            a_photo = measure_photo(client, space)
            figures = {kind.name: measure_kind(client, space, kind, seed=seed) for kind in kinds}
    return {
        "vectors": count,
        "dimension": DIMENSION,
        "method": index["method"],
        "arriving_per_second_alone": round(alone),
        "arriving_per_second": round(arriving),
        "until_searchable_seconds": round(searchable, 1),
        "rebuild_seconds": round(index["buildSeconds"], 1),
        "index_bytes": index["sizeBytes"],
        "build_memory_bytes": memory,
        "load_average": [round(one, 1) for one in os.getloadavg()],
        "kinds": figures,
        "a_photo_p95_ms": a_photo,
        "p95_ms": max(one["p95_ms"] for one in figures.values()),
        "recall_at_10": min(one["recall_at_10"] for one in figures.values()),
    }


async def _forget(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("TRUNCATE embeddings, search_queue, search_spaces")
    finally:
        await connection.close()


def main() -> None:
    """Measure, and print one JSON object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vectors", type=int, nargs="?", default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        figures = measure(options.vectors, Path(name), seed=options.seed)
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
