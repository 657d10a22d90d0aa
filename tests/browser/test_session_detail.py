"""A session in detail: its phases, when it will be done, what failed and is tried again; and an older session."""

import asyncio
import re
import shutil
from pathlib import Path
from typing import Final

from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import NEW_PHOTOS, TRAIN_SECONDS, Reader, ended
from tests.browser.new_session import create
from tests.browser.older_session import make_older
from tests.browser.progress_log import collect, collected
from tests.support.running_triptych import Client, Triptych

TRAIN_MILLISECONDS: Final = 1_000 * TRAIN_SECONDS
COMPLETION: Final = re.compile(r"Est\. completion: \d{1,2}:\d{2}\s[AP]M")

NOTE_RATES: Final = """
() => {
    window.rates = [];
    const told = () => document.querySelector('main').textContent.match(/[\\d.,]+\\/min/g);
    const look = () => window.rates.push(...(told() ?? []));
    look();
    const everything = {subtree: true, childList: true, characterData: true};
    new MutationObserver(look).observe(document.querySelector('main'), everything);
}
"""
NOTE_CONTRADICTIONS: Final = """
() => {
    window.contradictions = [];
    const look = () => {
        const told = document.querySelector('section[aria-label="Overall progress"] .now').textContent;
        for (const panel of document.querySelectorAll('section[aria-labelledby^="phase-"]')) {
            const isNamed = told.includes(`${panel.querySelector('h2').textContent} –`);
            if (isNamed && panel.textContent.includes('Pending')) window.contradictions.push(told);
        }
    };
    look();
    const everything = {subtree: true, childList: true, characterData: true};
    new MutationObserver(look).observe(document.querySelector('main'), everything);
}
"""
"""The headline names a phase as being at work of which the panel says that it waits."""


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
    await page.evaluate(NOTE_RATES)
    await page.get_by_role("button", name="Try all failed photos again").click()
    await expect(page.get_by_role("heading", name="Failed photos")).to_be_hidden(timeout=TRAIN_MILLISECONDS)
    await completed(page)
    await expect(panel(page, "Training")).to_contain_text(f"{NEW_PHOTOS} / {NEW_PHOTOS} photos")
    await expect(panel(page, "Training")).not_to_contain_text("failed")
    # One photo tells nothing of how many are done in a minute.
    assert await page.evaluate("() => window.rates") == []


async def test_what_is_done_before_a_phase_begins_is_told_alike_by_headline_and_panel(
    reader: Reader, running: Triptych, new_photos: Path
) -> None:
    page = reader.page
    with running.held("embedder"):
        await create(reader, "From the start", new_photos)
        await page.evaluate(NOTE_CONTRADICTIONS)
        await expect(page.get_by_text("🎨 Training – Getting ready")).to_be_visible()
        await expect(panel(page, "Training")).to_contain_text("Getting ready")
    await completed(page)
    assert await page.evaluate("() => window.contradictions") == []


async def test_a_session_is_deleted_or_forgotten_together_with_what_it_found(
    reader: Reader, client: Client, new_photos: Path
) -> None:
    trained = await client.begin(new_photos, shard_photos=16)
    await ended(client, trained)
    answer = await client.post("/training/sessions", json={"name": "Not wanted", "rootPath": str(new_photos)})
    people = (await client.get("/faces/persons"))["total"]
    page = reader.page
    question = page.get_by_role("alertdialog")
    await reader.open(f"#/sessions/{answer.json()['id']}")
    await page.get_by_text("Remove…").click()
    await page.get_by_role("button", name="Delete the session…").click()
    await expect(question).to_contain_text("Everything that was found in its photos stays")
    await question.get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("“Not wanted” was deleted.")).to_be_visible()
    await expect(page.get_by_role("heading", name="Sessions")).to_be_visible()
    assert (await client.get("/faces/persons"))["total"] == people

    await reader.open(f"#/sessions/{trained}")
    await expect(page.get_by_text("was deleted.")).to_be_hidden()
    await page.get_by_text("Remove…").click()
    await page.get_by_role("button", name="Forget it and what it found…").click()
    await expect(question).to_contain_text("The files of the photos stay.")
    await question.get_by_role("button", name="Forget").click()
    await expect(page.get_by_text("was forgotten: ")).to_contain_text(f"{NEW_PHOTOS} photos")
    assert trained not in {session["id"] for session in await client.get_all("/training/sessions")}
    assert (
        len(await asyncio.to_thread(lambda: [path for path in new_photos.rglob("*.*") if path.is_file()])) >= NEW_PHOTOS
    )


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
