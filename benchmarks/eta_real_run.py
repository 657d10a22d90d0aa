"""Real runs for the measure of ETA: the whole stack on a sample library, seen as a reader of its interface sees it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from tests.support.running_triptych import triptych_up, working_directory
from triptych_gateway.cli.samples.library import write_library

PHOTOS: Final = 320
LOOK_SECONDS: Final = 0.25
_DEADLINE_SECONDS: Final = 1800.0
_ENDED: Final = ("completed", "failed", "cancelled")


@dataclass(frozen=True, kw_only=True)
class RealRun:
    """A session from `start` to its end."""

    looks: list[tuple[float, dict[str, Any]]]
    """(seconds since `start`, unified progress), in order."""
    end_seconds: float

    def timeline(self) -> dict[str, Any]:
        """The run as `runs.score` takes it."""
        return {"end": self.end_seconds, "pauses": []}

    def estimates(self) -> list[dict[str, float | None]]:
        """What its reader was told."""
        return [{"t": at_seconds} | _told(snapshot["overallProgress"]) for at_seconds, snapshot in self.looks]

    def percent_by(self, weights: dict[str, float]) -> list[dict[str, float | None]]:
        """The percentage that the same run would have shown with other weights."""
        told = []
        for at_seconds, snapshot in self.looks:
            phases = snapshot["phases"]
            names = {"training": "training", "face_detection": "faceDetection", "clustering": "clustering"}
            percent = sum(weights[phase] * phases[key]["progress"]["percentage"] for phase, key in names.items())
            is_over = snapshot["overallStatus"] == "completed"
            told.append({"t": at_seconds, "eta": 0.0, "percent": 100.0 if is_over else min(percent, 99.9)})
        return told


def _told(overall: dict[str, Any]) -> dict[str, float | None]:
    return {
        "eta": overall["etaSeconds"],
        "low": overall["etaLowSeconds"],
        "high": overall["etaHighSeconds"],
        "percent": overall["percentage"],
    }


def two_runs(*, seed: int, photos: int = PHOTOS) -> tuple[RealRun, RealRun]:
    """A first run on a fresh installation, and one on other photos after it; both with calibrated weights."""
    with working_directory() as directory:
        libraries = [directory / name for name in ("first", "second")]
        for number, library in enumerate(libraries):
            write_library(library, count=photos, seed=2 * seed + number)
        with _stack(directory, libraries) as url:
            return asyncio.run(_both(url, libraries))


@contextmanager
def _stack(directory: Path, libraries: list[Path]) -> Iterator[str]:
    with triptych_up(directory, media_roots=libraries, settings={"TRIPTYCH_WEIGHTING": "calibrated"}) as running:
        yield running.url


async def _both(url: str, libraries: list[Path]) -> tuple[RealRun, RealRun]:
    async with httpx.AsyncClient(base_url=f"{url}/api/v1/training", trust_env=False, timeout=30) as client:
        return await _run(client, libraries[0]), await _run(client, libraries[1])


async def _run(client: httpx.AsyncClient, library: Path) -> RealRun:
    created = await client.post("/sessions", json={"name": library.name, "rootPath": str(library)})
    created.raise_for_status()
    session = f"/sessions/{created.json()['id']}"
    began = time.monotonic()
    (await client.post(f"{session}/start")).raise_for_status()
    looks: list[tuple[float, dict[str, Any]]] = []
    async with asyncio.timeout(_DEADLINE_SECONDS):
        while True:
            snapshot = (await client.get(f"{session}/progress-unified")).raise_for_status().json()
            looks.append((time.monotonic() - began, snapshot))
            if snapshot["overallStatus"] in _ENDED:
                break
            await asyncio.sleep(LOOK_SECONDS)
    if snapshot["overallStatus"] != "completed":
        raise RuntimeError(f"the session ended as {snapshot['overallStatus']}")
    return RealRun(looks=looks, end_seconds=looks[-1][0])
