"""Speed of every list of the REST surface over a library of very many photos.

A real PostgreSQL with the settings of `triptych up` is filled with photos in 100 sessions, the largest of 30 %, with
jobs of every status, faces, persons and groups; then the real gateway process is asked for the first, a middle and the
last page of every list, with every filter, 100 items a page, one request at a time.

- ``endpoints``: p50 and p95 of each page in milliseconds, over HTTP.
- ``worst_p95_ms``, ``worst``: the slowest first or last page, which one that is, and the same of a middle page.
- ``load_average``: of the machine, at the end: what else it does counts in every figure.
- ``writing``: what a large session writes, in seconds and milliseconds (see `catalog_writing`).

python benchmarks/catalog.py 1000000
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import numpy as np

from benchmarks.catalog_endpoints import Endpoint, offered
from benchmarks.catalog_writing import measure_regrouping, measure_writing
from tests.support.large_library import FACES_MODEL, Library, fill
from tests.support.real_servers import nats_server, postgres_server
from tests.support.running_gateway import running_gateway

PAGE_SIZE: Final = 100
_REPEATS: Final = 30
_WARM_UPS: Final = 3
_PROMISED: Final = ("first", "last", "only")

Figures = dict[str, dict[str, dict[str, float]]]


async def _examples(database_url: str, library: Library) -> dict[str, str | int]:
    """What the names in the endpoints' braces stand for: the largest of each, so that the answers are dear."""
    connection = await asyncpg.connect(database_url)
    try:
        largest = library.largest_session_id
        return {
            "session_id": largest,
            "small_session_id": library.session_ids[-1],
            "face_session_id": await connection.fetchval(
                "SELECT id FROM runs WHERE session_id = $1 AND phase = 'face_detection' AND number = 1", largest
            ),
            "job_id": await connection.fetchval("SELECT max(id) FROM session_assets WHERE session_id = $1", largest),
            "asset_id": await connection.fetchval("SELECT max(asset_id) FROM faces"),
            "person_id": await connection.fetchval("SELECT id FROM persons ORDER BY face_count DESC LIMIT 1"),
            "group_id": await connection.fetchval("SELECT id FROM groups ORDER BY face_count DESC LIMIT 1"),
            "root_path": str(library.root),
            "session_path": str(library.root / "session-000"),
        }
    finally:
        await connection.close()


def _ask(client: httpx.Client, path: str, parameters: dict[str, str]) -> tuple[float, Any]:
    """Milliseconds until the answer is there, and the answer."""
    began = time.perf_counter()
    answer = client.get(path, params=parameters)
    took = (time.perf_counter() - began) * 1000
    if not answer.is_success:
        raise RuntimeError(f"{answer.request.url} was answered {answer.status_code}: {answer.text[:300]}")
    return took, answer.json()


def _pages(client: httpx.Client, endpoint: Endpoint, path: str, parameters: dict[str, str]) -> dict[str, int | None]:
    """Which pages to ask for, by name."""
    if endpoint.total is None:
        return {"only": None}
    _, answer = _ask(client, path, parameters)
    last = max(1, -(-answer[endpoint.total] // PAGE_SIZE))
    return {"first": 1, "middle": (last + 1) // 2, "last": last}


def measure_endpoint(
    client: httpx.Client, endpoint: Endpoint, examples: dict[str, str | int]
) -> dict[str, dict[str, float]]:
    """Percentiles of each page."""
    path, parameters = endpoint.request(examples)
    if endpoint.total is not None:
        parameters["page_size"] = str(PAGE_SIZE)
    figures = {}
    for name, page in _pages(client, endpoint, path, parameters).items():
        asked = parameters if page is None else {**parameters, "page": str(page)}
        took = [_ask(client, path, asked)[0] for _ in range(_WARM_UPS + _REPEATS)][_WARM_UPS:]
        p50, p95 = np.percentile(took, [50, 95])
        figures[name] = {"p50_ms": round(float(p50), 1), "p95_ms": round(float(p95), 1)}
    sys.stdout.write(
        f"{endpoint.name():72}"
        + "  ".join(f"{name} {one['p50_ms']:7.1f} {one['p95_ms']:7.1f}" for name, one in figures.items())
        + "\n"
    )
    sys.stdout.flush()
    return figures


def _worst(figures: Figures, pages: tuple[str, ...]) -> tuple[float, str]:
    return max(
        (one["p95_ms"], f"{endpoint} ({page})")
        for endpoint, by_page in figures.items()
        for page, one in by_page.items()
        if page in pages
    )


def measure(photos: int, folder: Path) -> dict[str, Any]:
    """All figures."""
    with postgres_server() as postgres, nats_server(folder) as nats_url:
        database_url = postgres.url(postgres.create_database())
        with running_gateway(database_url=database_url, nats_url=nats_url, folder=folder) as gateway:
            began = time.perf_counter()
            library = asyncio.run(fill(database_url, photos=photos, root=gateway.media / "library"))
            filled = time.perf_counter() - began
            examples = asyncio.run(_examples(database_url, library))
            sys.stdout.write(f"filled in {filled:.0f} s; p50 and p95 in ms\n")
            with gateway.client() as client:
                endpoints = offered(client.get("/openapi.json").json())
                figures = {one.name(): measure_endpoint(client, one, examples) for one in endpoints}
        writing = asyncio.run(measure_writing(database_url, photos=photos // 5))
        writing |= asyncio.run(
            measure_regrouping(database_url, session_id=library.largest_session_id, model_id=FACES_MODEL)
        )
    worst, where = _worst(figures, _PROMISED)
    worst_middle, where_middle = _worst(figures, ("middle",))
    return {
        "photos": library.photos,
        "sessions": len(library.session_ids),
        "faces": library.faces,
        "persons": library.persons,
        "fill_seconds": round(filled),
        "load_average": [round(one, 1) for one in os.getloadavg()],
        "endpoints": figures,
        "writing": writing,
        "worst_middle_p95_ms": worst_middle,
        "worst_middle": where_middle,
        "worst_p95_ms": worst,
        "worst": where,
    }


def main() -> None:
    """Measure, and print one JSON object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=int, nargs="?", default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        figures = measure(options.photos, Path(name))
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
