"""What becomes of a run while replicas join, are slow, and are killed: one training phase that sees all of it.

- ``joined_seconds``: from the moment at which a name stands for a new replica until that has computed its first photos;
- ``slow_share``: photos of a replica that is five times slower, ÷ those of the other one in the same time;
- ``killed_share``: the share that a replica had of all photos before it was killed (SIGKILL);
- ``killed_cost``: by how much its death lowered the pace of all;
- ``lost_photos``: photos that failed, or that have not exactly one result in the end.
"""

import asyncio
import time
from typing import Final

from benchmarks.scale_stage import SECONDS_PER_PHOTO, Stage, until
from tests.support.named_replicas import Replica

PHOTOS: Final = 5_000
SLOWER: Final = 5
_WINDOW_SECONDS: Final = 10.0
_WARM_SECONDS: Final = 3.0


async def measure_changes(stage: Stage) -> dict[str, float]:
    """All figures. Before it and afterwards, each service has one replica."""
    embedders = stage.replicas["embedder"]
    [first] = embedders.named
    slow = await embedders.start(seconds_per_photo=SLOWER * SECONDS_PER_PHOTO)
    others = [await embedders.start(seconds_per_photo=SECONDS_PER_PHOTO) for _ in range(2)]
    session_id = await stage.begin("changes", photos=PHOTOS)
    await _until_more(first)

    embedders.name(slow)
    joined_seconds = await _until_more(slow)
    by_first, by_slow = await _computed_in_a_window(first, slow)

    for replica in others:
        embedders.name(replica)
    for replica in others:
        await _until_more(replica)
    await asyncio.sleep(_WARM_SECONDS)
    before = await _computed_in_a_window(*others, first, slow)
    victim, *_ = others
    victim.process.kill()
    after = await _computed_in_a_window(*others[1:], first, slow)
    victim.process.wait()
    counts = await stage.finish(session_id, "training")
    stored = await stage.results(session_id)
    await stage.cancel(session_id)
    for replica in (slow, *others):
        embedders.forget(replica)
    return {
        "joined_seconds": joined_seconds,
        "slow_share": by_slow / by_first,
        "killed_share": before[0] / sum(before),
        "killed_cost": 1 - sum(after) / sum(before),
        "lost_photos": counts.failed + PHOTOS - stored,
    }


async def _until_more(replica: Replica) -> float:
    """Wait until a replica has computed photos; returns the seconds that it took."""
    had, began = await replica.photos_computed(), time.monotonic()

    async def has_more() -> bool:
        return await replica.photos_computed() > had

    await until(has_more, f"{replica.address} has work")
    return time.monotonic() - began


async def _computed_in_a_window(*replicas: Replica) -> list[float]:
    """Photos that each replica computes within the same ten seconds, per second."""
    before, began = [await one.photos_computed() for one in replicas], time.monotonic()
    await asyncio.sleep(_WINDOW_SECONDS)
    after = [await one.photos_computed() for one in replicas]
    seconds = time.monotonic() - began
    return [(late - early) / seconds for early, late in zip(before, after, strict=True)]
