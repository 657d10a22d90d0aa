"""Speed and memory of discovery over very many files.

Makes files in directories of very different sizes, the largest with half of them, and lets a process of its own
discover them over a real PostgreSQL: once while all are new, once more while nothing has changed, and once after half
of them were moved to another directory, with their contents known.

- ``photos_per_second``: of the first discovery; ``again`` and ``moved`` have those of the others.
- ``peak_megabytes``: the most memory that the process ever had, over all three.
- ``moved.kept``: moved photos whose rows were kept.

python benchmarks/discovery.py 200000
"""

import argparse
import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import asyncpg

from tests.support.photo_library import PhotoLibrary
from tests.support.real_servers import postgres_server
from triptych_gateway.catalog.database import create_engine

LIMIT_MEGABYTES: Final = 300


def make_files(root: Path, files: int) -> dict[bytes, bytes]:
    """Small files of many sizes, each of a content of its own; returns their hashes by path."""
    hashes = {}
    place = 0
    for number, count in enumerate(_directory_sizes(files)):
        directory = root / f"directory-{number:05}"
        directory.mkdir(parents=True)
        for _ in range(count):
            content = f"{place:09}".ljust(100 + place * 7919 % 5000).encode()
            path = directory / f"IMG_{place:06}.JPG"
            path.write_bytes(content)
            hashes[os.fsencode(path)] = hashlib.sha256(content).digest()
            place += 1
    return hashes


def _directory_sizes(files: int) -> list[int]:
    """Half of what is left each time, down to a hundred."""
    sizes = []
    while files > 100:
        sizes.append(files // 2 if not sizes else max(100, files // 20))
        files -= sizes[-1]
    return [*sizes, files]


async def _discover(database_url: str, root: Path) -> dict[str, Any]:
    engine = create_engine(database_url)
    library = PhotoLibrary(engine=engine, root=root)
    owned = await library.take()
    began = time.perf_counter()
    photos = await library.discover(owned)
    seconds = time.perf_counter() - began
    await engine.dispose()
    return {"photos": photos, "seconds": round(seconds, 2), "photos_per_second": round(photos / seconds)}


def _peak_megabytes() -> float:
    """The most memory that this process ever had (proc(5), VmHWM)."""
    status = Path("/proc/self/status").read_text()
    return round(int(status.partition("VmHWM:")[2].split()[0]) / 1024, 1)


def discover_apart(database_url: str, root: Path) -> dict[str, Any]:
    """Discover in a process of its own."""
    command = [sys.executable, __file__, "--discover", database_url, str(root)]
    # Its log comes first.
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    return answer


async def _learn(database_url: str, hashes: dict[bytes, bytes]) -> None:
    """Record contents, as the services would have."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        """UPDATE assets a SET content_sha256 = h.sha256
        FROM unnest($1::bytea[], $2::bytea[]) AS h(path, sha256) WHERE a.path = h.path""",
        list(hashes),
        list(hashes.values()),
        timeout=600,
    )
    await connection.close()


async def _rows(database_url: str, first: int) -> tuple[int, int]:
    """How many of the first photos are where they were moved to, and how many photos there are."""
    connection = await asyncpg.connect(database_url)
    kept: int = await connection.fetchval(
        "SELECT count(*) FROM assets WHERE id <= $1 AND encode(path, 'escape') LIKE '%/moved/%'", first
    )
    rows: int = await connection.fetchval("SELECT count(*) FROM assets")
    await connection.close()
    return kept, rows


def measure(files: int, folder: Path) -> dict[str, Any]:
    """All figures."""
    root = folder.resolve() / "library"
    hashes = make_files(root, files)
    with postgres_server() as postgres:
        database_url = postgres.url(postgres.create_database())
        first = discover_apart(database_url, root)
        again = discover_apart(database_url, root)
        asyncio.run(_learn(database_url, hashes))
        (root / "directory-00000").rename(root / "moved")
        moved = discover_apart(database_url, root)
        moved["kept"], moved["rows"] = asyncio.run(_rows(database_url, files))
    peak = max(one.pop("peak_megabytes") for one in (first, again, moved))
    return {
        "files": files,
        "seconds": first["seconds"],
        "photos_per_second": first["photos_per_second"],
        "peak_megabytes": peak,
        "within_limit": peak < LIMIT_MEGABYTES,
        "again": again,
        "moved": moved,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", type=int, nargs="?", default=200_000)
    parser.add_argument("--discover", nargs=2, metavar=("DATABASE_URL", "ROOT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.discover:
        database_url, root = arguments.discover
        figures = asyncio.run(_discover(database_url, Path(root)))
        print(json.dumps(figures | {"peak_megabytes": _peak_megabytes()}))
        return
    with tempfile.TemporaryDirectory(prefix="triptych-bench-") as folder:
        print(json.dumps(measure(arguments.files, Path(folder))))


if __name__ == "__main__":
    main()
