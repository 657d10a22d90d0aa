"""What the pipeline costs: photos per second of whole phases of sessions ÷ those of bare loops over the same files.

A session runs on a stack of its own with all of its parts: gateway, gRPC, NATS, PostgreSQL. Loops
(`pipeline_loops.py`) and phases take turns, so that both see the same machine, and the fastest loop counts: each phase
is held against the mean of the loops before and after it, and the median of these shares is the figure. A machine that
others share changes its speed by a third within a minute. Face detection takes long: each of its rounds is over another
third of the photos.

- ``embed_efficiency``, ``detect_efficiency``: training and face detection with the bundled pack;
- ``feed_efficiency``: training with a model that costs nothing, ÷ the rate of bare decoding;
- ``device_busy``: share of the phase in which a device that takes 20 ms a photo was at work, on 640 × 480 photos.

python benchmarks/pipeline.py 400
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Final

import asyncpg
import httpx

from benchmarks.pipeline_corpus import SMALLEST, link_corpus, make_corpus
from tests.support.running_triptych import working_directory
from triptych_gateway.cli.stack.services import console_scripts
from triptych_gateway.cli.stack.stack import Stack, StackOptions

LIMITS: Final = {"embed_efficiency": 0.90, "detect_efficiency": 0.90, "feed_efficiency": 0.80, "device_busy": 0.95}
DEVICE_SECONDS: Final = 0.02
ROUNDS: Final = 5
DETECT_ROUNDS: Final = 3
PARTS: Final = ("embed", "feed", "detect", "busy")
_BENCHMARKS: Final = Path(__file__).parent
_DEADLINE_SECONDS: Final = 1800.0


def synthetic(name: str, seconds_per_photo: float) -> tuple[str, ...]:
    """The command of a service whose model is none."""
    return (sys.executable, str(_BENCHMARKS / "synthetic_service.py"), name, str(seconds_per_photo))


@asynccontextmanager
async def stack(directory: Path, media: Path, programs: Mapping[str, tuple[str, ...]]) -> Any:
    """A whole stack, some of whose services are other programs."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TRIPTYCH_")}
    options = StackOptions(data_directory=directory, http_port=0, media_roots=(media,), console=False)
    async with Stack(options, programs={**console_scripts(), **programs}, environment=environment) as running:
        yield running


async def run_session(running: Stack, directory: Path) -> dict[str, float]:
    """Train on a directory; returns the photos per second of each phase of photos."""
    async with httpx.AsyncClient(base_url=f"{running.urls.http}/api/v1/training", trust_env=False) as client:
        created = await client.post("/sessions", json={"name": directory.name, "rootPath": str(directory)})
        created.raise_for_status()
        session_id = created.json()["id"]
        (await client.post(f"/sessions/{session_id}/start")).raise_for_status()
        async with asyncio.timeout(_DEADLINE_SECONDS):
            while True:
                # Seldom: the phases' times are in the database, and questions cost the machine.
                await asyncio.sleep(1)
                session = (await client.get(f"/sessions/{session_id}")).raise_for_status().json()
                if session["status"] in ("completed", "failed", "cancelled"):
                    break
    if session["status"] != "completed":
        raise RuntimeError(f"the session ended as {session['status']}")
    connection = await asyncpg.connect(running.urls.database)
    try:
        rows = await connection.fetch(
            """SELECT phase, done, extract(epoch FROM completed_at - started_at) AS seconds FROM runs
            WHERE session_id = $1 AND phase <> 'clustering'""",
            session_id,
        )
    finally:
        await connection.close()
    return {row["phase"]: row["done"] / float(row["seconds"]) for row in rows}


async def run_loops(what: str, directory: Path, *, few: int, only: str | None = None) -> dict[str, float]:
    """Photos per second of each bare loop, or of one, in a process of its own."""
    command = [sys.executable, str(_BENCHMARKS / "pipeline_loops.py"), what, str(directory), "--few", str(few)]
    if only is not None:
        command += ["--only", only]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the loops ended with {process.returncode}")
    rates: dict[str, float] = json.loads(said.splitlines()[-1])
    return rates


@dataclass(frozen=True)
class Comparison:
    """Rates of phases and of the loops around them, in photos per second."""

    phases: list[float]
    all_loops: dict[str, float]
    """Each kind of loop, once."""
    around: list[tuple[float, float]]
    """The fastest kind, before and after each phase."""

    def figures(self) -> dict[str, Any]:
        """The median share, each share, and the rates."""
        shares = [
            phase / ((before + after) / 2) for phase, (before, after) in zip(self.phases, self.around, strict=True)
        ]
        return {
            "efficiency": round(median(shares), 3),
            "shares": [round(share, 3) for share in shares],
            "photos_per_second": round(median(self.phases), 1),
            "loops": self.all_loops,
        }


@dataclass(frozen=True)
class Bench:
    """A directory to work in, and the corpus."""

    directory: Path
    corpus: list[Path]

    def fresh(self, name: str) -> Path:
        return link_corpus(self.corpus, self.directory / "media" / name)

    async def embed(self) -> Comparison:
        return await self._alternate("embed", "embed", {"facedetect": synthetic("facedetect", 0)})

    async def feed(self) -> Comparison:
        programs = {"facedetect": synthetic("facedetect", 0), "embedder": synthetic("embedder", 0)}
        return await self._alternate("feed", "decode", programs)

    async def _alternate(self, name: str, loop: str, programs: Mapping[str, tuple[str, ...]]) -> Comparison:
        """Training phases, and loops before and after each."""
        files, few = self.corpus[0].parent, len(self.corpus)
        async with stack(self.directory / name, self.directory / "media", programs) as running:
            await run_session(running, self.fresh(f"{name}-warm"))
            rates = await run_loops(loop, files, few=few)
            fastest = max(rates, key=lambda kind: rates[kind])
            phases, loops = [], [rates[fastest]]
            for number in range(ROUNDS):
                phases.append((await run_session(running, self.fresh(f"{name}-{number}")))["training"])
                loops.append((await run_loops(loop, files, few=few, only=fastest))[fastest])
        return Comparison(phases, rates, list(pairwise(loops)))

    async def detect(self) -> Comparison:
        """Face detection phases over a third of the photos each, and a loop over the same before and after."""
        async with stack(
            self.directory / "detect", self.directory / "media", {"embedder": synthetic("embedder", 0)}
        ) as running:
            rates: dict[str, float] = {}
            phases, around = [], []
            for number in range(DETECT_ROUNDS):
                third = Bench(self.directory / f"detect-{number}", self.corpus[number::DETECT_ROUNDS])
                files = third.fresh("loop")
                if not rates:
                    rates = await run_loops("detect", files, few=24)
                    fastest = max(rates, key=lambda kind: rates[kind])
                before = (await run_loops("detect", files, few=len(third.corpus), only=fastest))[fastest]
                photos = link_corpus(third.corpus, self.directory / "media" / f"detect-{number}")
                phases.append((await run_session(running, photos))["face_detection"])
                after = (await run_loops("detect", files, few=len(third.corpus), only=fastest))[fastest]
                around.append((before, after))
        return Comparison(phases, rates, around)

    async def busy(self) -> float:
        """The busy share of a device of 20 ms a photo."""
        programs = {
            "facedetect": synthetic("facedetect", 0),
            "embedder": synthetic("embedder", DEVICE_SECONDS),
        }
        small = Bench(
            self.directory / "small", make_corpus(self.directory / "small-corpus", photos=1000, largest=SMALLEST)
        )
        async with stack(self.directory / "busy", small.directory / "media", programs) as running:
            rate = (await run_session(running, small.fresh("busy")))["training"]
        return round(rate * DEVICE_SECONDS, 3)


async def measure(directory: Path, *, photos: int, parts: list[str]) -> dict[str, Any]:
    """All figures."""
    (directory / "media").mkdir()
    (directory / "small" / "media").mkdir(parents=True)
    bench = Bench(directory, make_corpus(directory / "corpus", photos=photos))
    figures: dict[str, Any] = {"photos": photos, "cores": os.cpu_count()}
    for part in parts:
        if part == "busy":
            figures["device_busy"] = await bench.busy()
        else:
            compared: Comparison = await getattr(bench, part)()
            figures[part] = compared.figures()
            figures[f"{part}_efficiency"] = figures[part].pop("efficiency")
        print(json.dumps({part: figures.get(part, figures.get("device_busy"))}), flush=True)
    return figures | {"within_limits": all(figures[name] >= least for name, least in LIMITS.items() if name in figures)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=int, nargs="?", default=400)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    arguments = parser.parse_args()
    with working_directory() as directory:
        print(json.dumps(asyncio.run(measure(directory, photos=arguments.photos, parts=arguments.parts))))


if __name__ == "__main__":
    main()
