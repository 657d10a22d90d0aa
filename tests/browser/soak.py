"""A page that stays open on a running session does not grow: `make test-ui-soak`, which takes MINUTES (10).

The session is real and so is each photo's result. Its face detector is let run for one photo after the other, so that
ten minutes of work need little of the machine.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import CDPSession, Page, expect

from tests.browser.conftest import TRAIN_SECONDS, Reader, write_samples
from tests.browser.pacing import PACE_SECONDS, photo_by_photo, photos_looked_at
from tests.support.running_triptych import Client, Triptych, triptych_up

MINUTES: Final = float(os.environ.get("MINUTES", "10"))
LOOKS_A_MINUTE: Final = 2
PHOTOS_A_TURN: Final = 2
"""As many may be done before the face detector is stopped again: it works on two at a time."""
SAMPLES: Final = 60
"""Different photos; the library holds each many times, since to make them takes longer than to copy them."""
MOST_GROWTH: Final = 1.2

_COUNT_CHANGES: Final = """
() => {
    window.changes = 0;
    const everything = {subtree: true, childList: true, characterData: true, attributes: true};
    new MutationObserver(() => (window.changes += 1)).observe(document.querySelector('main'), everything);
}
"""


@pytest.fixture(scope="session")
def running(directory: Path) -> Iterator[Triptych]:
    """A stack whose services answer after each photo."""
    settings = {"TRIPTYCH_MICRO_BATCH": "1", "TRIPTYCH_INFERENCE_THREADS": "1", "TRIPTYCH_DECODE_THREADS": "1"}
    with triptych_up(directory, media_roots=[directory / "media"], settings=settings) as started:
        yield started


def write_library(folder: Path, *, photos: int) -> Path:
    """Sample photos, each copied until there are so many."""
    samples = sorted(write_samples(folder / "0", count=SAMPLES, seed=9).rglob("*.jpg"))
    for number in range(1, -(-photos // len(samples))):
        copies = folder / str(number)
        copies.mkdir()
        for place, sample in enumerate(samples):
            shutil.copyfile(sample, copies / f"{place}.jpg")
    return folder


async def heap_bytes(devtools: CDPSession) -> int:
    """What the page's JavaScript holds once garbage is collected."""
    await devtools.send("HeapProfiler.collectGarbage")
    used: int = (await devtools.send("Runtime.getHeapUsage"))["usedSize"]
    return used


async def node_count(page: Page) -> int:
    """Elements on the page."""
    nodes: int = await page.evaluate("() => document.querySelectorAll('*').length")
    return nodes


async def test_the_heap_of_a_page_on_a_running_session_does_not_grow(
    reader: Reader, running: Triptych, client: Client, directory: Path
) -> None:
    page = reader.page
    wanted = int(PHOTOS_A_TURN * 60 * (MINUTES + 1) / PACE_SECONDS)
    library = await asyncio.to_thread(write_library, directory / "media" / "many", photos=wanted)
    session_id = await client.begin(library, shard_photos=32)
    await reader.open(f"#/sessions/{session_id}")
    at_work = page.get_by_role("region", name="Face Detection", exact=True)
    await expect(at_work).to_contain_text("Running", timeout=10_000 * TRAIN_SECONDS)
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    devtools = await page.context.new_cdp_session(page)
    await page.evaluate(_COUNT_CHANGES)

    heaps: list[int] = []
    nodes: list[int] = []
    async with photo_by_photo(running, client, session_id):
        first = await photos_looked_at(client, session_id)
        for _ in range(round(MINUTES * LOOKS_A_MINUTE)):
            await asyncio.sleep(60 / LOOKS_A_MINUTE)
            heaps.append(await heap_bytes(devtools))
            nodes.append(await node_count(page))
        looked_at = await photos_looked_at(client, session_id) - first
        changes: int = await page.evaluate("() => window.changes")
        await expect(page.get_by_role("button", name="Pause")).to_be_visible()
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    (await client.post(f"/training/sessions/{session_id}/cancel")).raise_for_status()

    growth = max(heaps[-3:]) / heaps[0]
    sys.stdout.write(
        f"{MINUTES:g} minutes, {looked_at} photos, {changes} changes of what is shown: the heap went from {heaps[0]:,} "
        f"to {heaps[-1]:,} bytes ({growth:.3f} times as much), the page from {nodes[0]} to {nodes[-1]} elements\n"
    )
    assert looked_at > 0
    assert changes > looked_at / 2, "the page did not follow"
    assert growth <= MOST_GROWTH, heaps
