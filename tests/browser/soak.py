"""A page that stays open on a running session does not grow: `make test-ui-soak`, which takes MINUTES (10)."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from playwright.async_api import CDPSession, expect

from tests.browser.conftest import Reader, write_samples
from tests.support.running_triptych import Client

MINUTES: Final = float(os.environ.get("MINUTES", "10"))
SETTLE_SECONDS: Final = 30
"""Until the page has everything that it keeps."""
PHOTOS_PER_MINUTE: Final = 600
"""More than the bundled models manage on the machines that this was tried on, so that the session runs throughout."""
MOST_GROWTH: Final = 1.2


async def heap_bytes(devtools: CDPSession) -> int:
    """What the page's JavaScript holds once garbage is collected."""
    await devtools.send("HeapProfiler.collectGarbage")
    used: int = (await devtools.send("Runtime.getHeapUsage"))["usedSize"]
    return used


async def test_the_heap_of_a_page_on_a_running_session_does_not_grow(
    reader: Reader, client: Client, directory: Path
) -> None:
    count = int(PHOTOS_PER_MINUTE * (MINUTES + 1))
    photos = await asyncio.to_thread(write_samples, directory / "media" / "many", count=count, seed=9)
    session_id = await client.begin(photos, shard_photos=16)
    await reader.open(f"#/sessions/{session_id}")
    await expect(reader.page.get_by_text("Live", exact=True)).to_be_visible()
    devtools = await reader.page.context.new_cdp_session(reader.page)
    await asyncio.sleep(SETTLE_SECONDS)
    before = await heap_bytes(devtools)
    await asyncio.sleep(60 * MINUTES)
    after = await heap_bytes(devtools)
    await expect(reader.page.get_by_role("button", name="Pause")).to_be_visible()
    (await client.post(f"/training/sessions/{session_id}/cancel")).raise_for_status()
    told = f"{before} bytes at first, {after} after {MINUTES:g} minutes: {after / before:.3f} times as much\n"
    sys.stdout.write(told)
    assert after <= MOST_GROWTH * before
