"""News come by a stream, by polling where that fails, and by the stream again; and stop when they should."""

import asyncio
import re
from pathlib import Path
from typing import Final

from playwright.async_api import Page, Request, Route, expect

from tests.browser.conftest import TRAIN_SECONDS, Reader, ended, write_samples
from tests.browser.new_session import create
from tests.support.running_triptych import Client, Triptych

TRAIN_MILLISECONDS: Final = 1_000 * TRAIN_SECONDS
QUIET_SECONDS: Final = 5.0
"""More than two polls would take."""
RETRY_MILLISECONDS: Final = 31_000
"""A little more than the page waits before it tries the stream again."""
STREAMS: Final = "**/progress*/stream"


def progress_requests(page: Page) -> list[str]:
    """The paths by which the page asks for progress, from now on."""
    asked: list[str] = []

    def note(request: Request) -> None:
        if "/progress" in request.url:
            asked.append(request.url.partition("/api/v1/training/")[2])

    page.on("request", note)
    return asked


async def at_work(page: Page) -> None:
    await expect(page.get_by_role("region", name="Face Detection", exact=True)).to_contain_text(
        "Running", timeout=TRAIN_MILLISECONDS
    )


async def test_the_list_follows_all_running_sessions_by_one_stream_and_then_rests(
    reader: Reader, client: Client, directory: Path
) -> None:
    page = reader.page
    for seed in (101, 102):
        folder = await asyncio.to_thread(write_samples, directory / "media" / f"few-{seed}", count=8, seed=seed)
        await client.begin(folder, shard_photos=4)
    asked = progress_requests(page)
    await reader.open("#/sessions")
    rows = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="few-"))
    await expect(rows).to_have_count(2)
    await expect(rows.filter(has_text="✓ Complete")).to_have_count(2, timeout=TRAIN_MILLISECONDS)
    assert [path for path in asked if path.endswith("/stream")] == ["progress/stream"]
    # That nothing is asked has no moment at which it is true: longer than the page ever waited before is enough.
    asked.clear()
    await asyncio.sleep(QUIET_SECONDS)
    assert asked == []


async def test_a_session_that_was_begun_elsewhere_appears_in_a_list_that_is_open(
    reader: Reader, client: Client, directory: Path
) -> None:
    page = reader.page
    folder = await asyncio.to_thread(write_samples, directory / "media" / "elsewhere", count=8, seed=103)
    await reader.open("#/sessions")
    await expect(page.get_by_role("heading", name="Sessions")).to_contain_text(re.compile(r"\d"))
    session_id = await client.begin(folder, shard_photos=4)
    row = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="elsewhere"))
    await expect(row).to_contain_text("✓ Complete", timeout=TRAIN_MILLISECONDS)
    await ended(client, session_id)


async def test_a_reader_who_comes_back_to_a_session_that_ended_sees_that_it_was_begun_anew(
    reader: Reader, running: Triptych, client: Client, session_id: int
) -> None:
    page = reader.page
    await reader.open(f"#/sessions/{session_id}")
    await expect(page.get_by_text("✓ All Phases Complete")).to_be_visible()
    with running.held("cluster"):
        (await client.post(f"/training/sessions/{session_id}/restart-clustering")).raise_for_status()
        # No browser without a window hides a page.
        await page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
        await expect(page.get_by_text("🔗 Clustering – Grouping Similar Faces")).to_be_visible()
    await expect(page.get_by_text("✓ All Phases Complete")).to_be_visible(timeout=TRAIN_MILLISECONDS)


async def test_the_stream_is_tried_again_where_it_failed_and_the_page_reads_the_same_after_a_reload(
    reader: Reader, running: Triptych, new_photos: Path
) -> None:
    async def refuse(route: Route) -> None:
        await route.abort()

    page = reader.page
    await page.clock.install()
    await page.route(STREAMS, refuse)
    await create(reader, "Stream refused", new_photos)
    await at_work(page)
    with running.held("facedetect"):
        await expect(page.get_by_text("Updated every 2 s")).to_be_visible()
        await page.unroute(STREAMS, refuse)
        await page.clock.fast_forward(RETRY_MILLISECONDS)
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()

        bar = page.get_by_role("progressbar", name="Overall progress")
        before = float(await bar.get_attribute("aria-valuenow") or 0)
        await page.reload()
        await at_work(page)
        assert float(await bar.get_attribute("aria-valuenow") or 0) >= before > 0
    await page.get_by_role("button", name="Cancel").click()
    await page.get_by_role("button", name="Cancel the session").click()
    await expect(page.get_by_text("Cancelled in")).to_be_visible()


async def test_nothing_is_asked_any_more_once_the_reader_has_left(
    reader: Reader, running: Triptych, client: Client, new_photos: Path
) -> None:
    page = reader.page
    await create(reader, "Left", new_photos)
    await at_work(page)
    with running.held("facedetect"):
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        async with page.expect_event("requestfailed", lambda request: request.url.endswith("/stream")):
            await page.get_by_role("link", name="People").click()
        asked = progress_requests(page)
        await page.get_by_role("heading", name="People").wait_for()
        await asyncio.sleep(QUIET_SECONDS)
        assert asked == []
    session = (await client.get("/training/sessions"))["items"][0]
    (await client.post(f"/training/sessions/{session['id']}/cancel")).raise_for_status()


async def test_the_page_is_in_the_readers_locale(reader: Reader, session_id: int) -> None:
    browser = reader.page.context.browser
    assert browser is not None
    context = await browser.new_context(locale="de-DE", timezone_id="Europe/Berlin")
    page = await context.new_page()
    await page.goto(f"{reader.url}/#/sessions/{session_id}")
    # With a no-break space before the sign, as it is written there.
    await expect(page.get_by_text("100\N{NO-BREAK SPACE}%").first).to_be_visible()
    await context.close()
