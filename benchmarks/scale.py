"""Scaling out, on one machine: more replicas, replicas and gateways that come and go, and ten million photos.

Several embedder and facedetect processes with a synthetic model of 20 ms a photo in micro-batches of 16 work behind a
real gateway, NATS and PostgreSQL (`scale_stage.py`).

- ``photos_per_second``: of whole phases, by the number of replicas, each with as many photos to do;
- ``speedup_3_replicas``, ``speedup_8_replicas``: of the phase that gains less, against one replica;
- ``gateway_cores``: what the gateway used of the processors with most replicas;
- what `scale_changes.py`, `scale_takeover.py` and `scale_planning.py` name.

Each part may be measured by itself.

python benchmarks/scale.py --photos 10000000 --parts speed changes takeover planning
"""

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.scale_changes import measure_changes
from benchmarks.scale_planning import gateway_process, measure_planning
from benchmarks.scale_stage import SERVICES, Stage, stage
from benchmarks.scale_takeover import measure_takeover
from tests.support.running_triptych import working_directory

REPLICAS: Final = (1, 3, 8)
PHOTOS_PER_REPLICA: Final = 1_000
PARTS: Final = ("speed", "changes", "takeover", "planning")
LEAST: Final = {"speedup_3_replicas": 2.7, "speedup_8_replicas": 6.5}
MOST: Final = {
    "joined_seconds": 30,
    "lost_photos": 0,
    "takeover_seconds_max": 30,
    "pause_seconds": 2,
    "begin_peak_megabytes": 1024,
    "resume_peak_megabytes": 1024,
}
_COST_TOLERANCE: Final = 0.05
"""Of the pace: what two windows of ten seconds may differ in by themselves."""

Rates = dict[str, float]


async def measure_rates(on: Stage, replicas: int) -> Rates:
    """Photos per second of each phase."""
    await on.have(replicas)
    session_id = await on.begin(f"with-{replicas}", photos=replicas * PHOTOS_PER_REPLICA)
    rates = {}
    for phase in SERVICES:
        counts = await on.finish(session_id, phase)
        if counts.failed or counts.done != replicas * PHOTOS_PER_REPLICA or not counts.seconds:
            raise RuntimeError(f"{phase} with {replicas} replicas ended with {counts}")
        rates[phase] = counts.done / counts.seconds
    return rates


async def measure_replicas(directory: Path, *, parts: list[str]) -> dict[str, Any]:
    """Speed by replicas, and what changes of them cost."""
    figures: dict[str, Any] = {}
    async with stage(directory) as on:
        await on.have(1)
        if "changes" in parts:
            figures |= show(await measure_changes(on))
        if "speed" in parts:
            rates: dict[int, Rates] = {}
            for replicas in REPLICAS:
                gateway = gateway_process(on.running)
                began, used = time.monotonic(), _cpu_seconds(gateway)
                rates[replicas] = await measure_rates(on, replicas)
                show({str(replicas): rates[replicas]})
                figures["gateway_cores"] = (_cpu_seconds(gateway) - used) / (time.monotonic() - began)
            figures["photos_per_second"] = rates
            for replicas in REPLICAS[1:]:
                figures[f"speedup_{replicas}_replicas"] = min(
                    rates[replicas][phase] / rates[1][phase] for phase in SERVICES
                )
    return figures


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def show(figures: dict[str, Any]) -> dict[str, Any]:
    """Print figures as they come."""
    print(json.dumps(_rounded(figures)), flush=True)
    return figures


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, 3) if isinstance(value, float) else value


def within_limits(figures: dict[str, Any]) -> bool:
    """Whether all that was measured is as it is to be."""
    return (
        all(figures[name] >= least for name, least in LEAST.items() if name in figures)
        and all(figures[name] <= most for name, most in MOST.items() if name in figures)
        and figures.get("killed_cost", 0) <= figures.get("killed_share", 0) + _COST_TOLERANCE
    )


def measure(directory: Path, *, photos: int, parts: list[str]) -> dict[str, Any]:
    """All figures."""
    figures: dict[str, Any] = {"cores": psutil.cpu_count()}
    if "speed" in parts or "changes" in parts:
        figures |= asyncio.run(measure_replicas(directory / "replicas", parts=parts))
    if "takeover" in parts:
        figures |= show(measure_takeover(directory / "takeover"))
    if "planning" in parts:
        figures |= {"planned_photos": photos}
        figures |= asyncio.run(measure_planning(directory / "planning", photos=photos))
    return figures | {"within_limits": within_limits(figures)}


def main() -> None:
    """Measure, and print one JSON object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=int, default=10_000_000, help="photos of the run that is planned")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    arguments = parser.parse_args()
    with working_directory() as directory:
        figures = measure(directory, photos=arguments.photos, parts=arguments.parts)
    print(json.dumps(_rounded(figures)))


if __name__ == "__main__":
    main()
