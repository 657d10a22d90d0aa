"""A session in detail: its phases, when it will be done, what failed and is tried again; and an older session."""

import asyncio
import re
import shutil
from pathlib import Path
from typing import Final

from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import NEW_PHOTOS, TRAIN_SECONDS, Reader
from tests.browser.new_session import create
from tests.browser.older_session import make_older
from tests.browser.progress_log import collect, collected
from tests.support.running_triptych import Client, Triptych

TRAIN_MILLISECONDS: Final = 1_000 * TRAIN_SECONDS
COMPLETION: Final = re.compile(r"Est\. completion: \d{1,2}:\d{2}\s[AP]M")


async def completed(page: Page) -> None:
    await expect(page.get_by_text("✓ All Phases Complete")).to_be_visible(timeout=TRAIN_MILLISECONDS)


def panel(page: Page, phase: str) -> Locator:
    return page.get_by_role("region", name=phase, exact=True)


async def test_each_phase_is_shown_with_its_state_and_numbers_and_when_all_will_be_done(
    reader: Reader, running: Triptych, new_photos: Path
) -> None:
    page = reader.page
    steps = page.get_by_role("list", name="Phases").get_by_role("listitem")
    await create(reader, "In detail", new_photos)
    await collect(page)
    await expect(panel(page, "Face Detection")).to_contain_text("Running", timeout=TRAIN_MILLISECONDS)
    with running.held("facedetect"):
        await expect(panel(page, "Training")).to_contain_text("✓ Complete")
        await expect(panel(page, "Training")).to_contain_text(f"{NEW_PHOTOS} / {NEW_PHOTOS} photos")
        await expect(panel(page, "Training")).to_contain_text("bundled pack on cpu")
        await expect(panel(page, "Clustering")).to_contain_text("Pending")
        await expect(page.get_by_text("😊 Face Detection – Analyzing Faces")).to_be_visible()
        await expect(steps.nth(1)).to_have_attribute("aria-current", "step")
    await completed(page)

    for phase in ("Training", "Face Detection", "Clustering"):
        await expect(panel(page, phase)).to_contain_text("✓ Complete")
    await expect(panel(page, "Face Detection")).to_contain_text(re.compile(r"[1-9]\d*\s+faces? found"))
    await expect(panel(page, "Clustering")).to_contain_text(re.compile(r"[1-9]\d*\s+groups? made"))
    await expect(page.locator("[aria-current=step]")).to_have_count(0)
    assert any(COMPLETION.match(told) for told in (await collected(page)).times)


async def test_photos_that_failed_are_named_and_tried_again(reader: Reader, new_photos: Path) -> None:
    page = reader.page
    good = await asyncio.to_thread(lambda: next(path for path in sorted(new_photos.rglob("*.jpg"))))
    whole = good.read_bytes()
    good.write_bytes(whole[: len(whole) // 2])
    await create(reader, "With a broken photo", new_photos)
    await completed(page)
    failed = page.get_by_role("listitem").filter(has_text=good.name)
    await expect(failed).to_contain_text("damaged")
    await failed.get_by_role("button", name=f"Try {good.name} again in the next run").click()
    await expect(failed).to_contain_text("The next run tries it again.")

    good.write_bytes(whole)
    await page.get_by_role("button", name="Try all failed photos again").click()
    await expect(page.get_by_role("heading", name="Failed photos")).to_be_hidden(timeout=TRAIN_MILLISECONDS)
    await completed(page)
    await expect(panel(page, "Training")).to_contain_text(f"{NEW_PHOTOS} / {NEW_PHOTOS} photos")
    await expect(panel(page, "Training")).not_to_contain_text("failed")


async def test_a_phase_is_done_again_once_that_is_confirmed(reader: Reader, new_photos: Path) -> None:
    page = reader.page
    await asyncio.to_thread(shutil.rmtree, new_photos / "people")
    await create(reader, "Again", new_photos)
    await completed(page)
    await page.get_by_text("Do again…").click()
    await page.get_by_role("button", name="Find faces again").click()
    dialog = page.get_by_role("alertdialog", name="Find faces again?")
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await completed(page)

    await page.get_by_text("Do again…").click()
    await page.get_by_role("button", name="Find faces again").click()
    await collect(page)
    await dialog.get_by_role("button", name="Find faces again").click()
    await expect(dialog).to_be_hidden()
    await page.wait_for_function("() => window.seen.some(([, told]) => told.includes('Face Detection'))")
    await completed(page)


async def test_an_older_session_that_only_trained_shows_its_training_and_can_have_its_faces_found(
    reader: Reader, running: Triptych, client: Client, session_id: int
) -> None:
    page = reader.page
    await make_older(running, client, session_id)
    await reader.open(f"#/sessions/{session_id}")
    await expect(page.get_by_text("✓ Training Complete", exact=True)).to_be_visible()
    await expect(page.get_by_role("progressbar")).to_have_count(1)
    await page.get_by_text("Do again…").click()
    await page.get_by_role("button", name="Find faces", exact=True).click()
    await completed(page)
    await expect(page.get_by_role("heading", name="People found")).to_be_visible()
