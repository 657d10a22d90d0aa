"""The page in Firefox: what Chromium is tested with at length works there too."""

from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Browser, Playwright, expect

from tests.browser.browsers import launch_firefox
from tests.browser.conftest import TRAIN_SECONDS, Reader
from tests.support.running_triptych import Client


@pytest.fixture
def launch() -> Callable[[Playwright], Awaitable[Browser]]:
    return launch_firefox


async def test_sessions_their_progress_and_the_people_they_found_are_shown(
    reader: Reader, client: Client, session_id: int
) -> None:
    page = reader.page
    session = await client.get(f"/training/sessions/{session_id}")
    person = (await client.get("/faces/persons"))["items"][0]
    await reader.open("#/sessions")
    await page.get_by_role("link", name=session["name"], exact=True).click()
    await expect(page.get_by_text("✓ All Phases Complete")).to_be_visible()
    await expect(page.get_by_role("progressbar", name="Overall progress")).to_have_attribute("aria-valuenow", "100")
    await expect(page.get_by_role("heading", name="People found")).to_be_visible()

    await page.get_by_role("link", name="People", exact=True).click()
    await page.get_by_role("link", name=person["name"] or f"Person {person['id']}").click()
    faces = page.get_by_role("list", name="Faces of").get_by_role("listitem")
    await expect(faces).to_have_count(person["faceCount"])
    await faces.first.get_by_role("button", name="Open").click()
    photo = page.get_by_role("dialog").get_by_role("img")
    assert await photo.evaluate("async (image) => (await image.decode(), image.naturalWidth)") > 0
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()


async def test_a_session_that_is_done_again_is_followed_live_to_its_end(reader: Reader, session_id: int) -> None:
    page = reader.page
    await reader.open(f"#/sessions/{session_id}")
    await page.get_by_text("Do again…").click()
    await page.get_by_role("button", name="Train again").click()
    dialog = page.get_by_role("alertdialog", name="Train again?")
    await dialog.get_by_role("button", name="Train again").click()
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await expect(page.get_by_text("✓ All Phases Complete")).to_be_visible(timeout=1_000 * TRAIN_SECONDS)
