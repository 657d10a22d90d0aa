"""What the pipeline costs: photos per second of whole phases of sessions ÷ those of bare loops over the same files.

A session runs on a stack of its own with all of its parts: gateway, gRPC, NATS, PostgreSQL. Loops
(`pipeline_loops.py`) and phases take turns, so that both see the same machine; the fastest loop counts.

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx

from benchmarks.pipeline_corpus import SMALLEST, link_corpus, make_corpus
from tests.support.running_triptych import working_directory
from triptych_gateway.cli.stack.services import console_scripts
from triptych_gateway.cli.stack.stack import Stack, StackOptions

LIMITS: Final = {"embed_efficiency": 0.90, "detect_efficiency": 0.90, "feed_efficiency": 0.80, "device_busy": 0.95}
DEVICE_SECONDS: Final = 0.02
ROUNDS: Final = 2
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


async def run_loops(what: str, directory: Path, *, few: int) -> dict[str, float]:
    """Photos per second of each bare loop, in a process of its own."""
    command = [sys.executable, str(_BENCHMARKS / "pipeline_loops.py"), what, str(directory), str(few)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the loops ended with {process.returncode}")
    rates: dict[str, float] = json.loads(said.splitlines()[-1])
    return rates


@dataclass
class Comparison:
    """Rates of a phase and of the loops it is held against, round by round, in photos per second."""

    phase: list[float] = field(default_factory=list)
    loops: list[dict[str, float]] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Means over the rounds, of rates over equal work."""
        loops = {name: _mean([rates[name] for rates in self.loops]) for name in self.loops[0]}
        phase = _mean(self.phase)
        return {
            "efficiency": round(phase / max(loops.values()), 3),
            "photos_per_second": round(phase, 1),
            "loops": {name: round(rate, 1) for name, rate in loops.items()},
        }


def _mean(rates: list[float]) -> float:
    """Harmonic: all photos ÷ all seconds."""
    return len(rates) / sum(1 / rate for rate in rates)


@dataclass(frozen=True)
class Bench:
    """A directory to work in, and the corpus."""

    directory: Path
    corpus: list[Path]

    def fresh(self, name: str) -> Path:
        return link_corpus(self.corpus, self.directory / "media" / name)

    async def embed(self) -> Comparison:
        compared = Comparison()
        programs = {"facedetect": synthetic("facedetect", 0)}
        async with stack(self.directory / "embed", self.directory / "media", programs) as running:
            await run_session(running, self.fresh("embed-warm"))
            for number in range(ROUNDS):
                compared.loops.append(await run_loops("embed", self.corpus[0].parent, few=len(self.corpus)))
                compared.phase.append((await run_session(running, self.fresh(f"embed-{number}")))["training"])
        return compared

    async def feed(self) -> Comparison:
        compared = Comparison()
        programs = {"facedetect": synthetic("facedetect", 0), "embedder": synthetic("embedder", 0)}
        async with stack(self.directory / "feed", self.directory / "media", programs) as running:
            await run_session(running, self.fresh("feed-warm"))
            for number in range(ROUNDS):
                compared.loops.append(await run_loops("decode", self.corpus[0].parent, few=len(self.corpus)))
                compared.phase.append((await run_session(running, self.fresh(f"feed-{number}")))["training"])
        return compared

    async def detect(self) -> Comparison:
        compared = Comparison()
        async with stack(
            self.directory / "detect", self.directory / "media", {"embedder": synthetic("embedder", 0)}
        ) as running:
            compared.loops.append(await run_loops("detect", self.corpus[0].parent, few=24))
            compared.phase.append((await run_session(running, self.fresh("detect")))["face_detection"])
        return compared

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
