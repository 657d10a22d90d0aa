"""A new session: its folders found, looked at and ticked, and what is wrong said where it belongs."""

import asyncio
import shutil
from pathlib import Path

from playwright.async_api import expect

from tests.browser.conftest import NEW_PHOTOS, TRAIN_SECONDS, Reader
from tests.browser.new_session import choose
from tests.support.running_triptych import Client

TRAIN_MILLISECONDS = 1_000 * TRAIN_SECONDS


async def test_folders_are_looked_at_and_some_are_ticked_by_the_keyboard_alone(
    reader: Reader, client: Client, new_photos: Path
) -> None:
    page = reader.page
    await reader.open("#/sessions")
    await page.get_by_role("link", name="New session").click()
    folder = page.get_by_role("checkbox", name=new_photos.name, exact=True)
    await expect(page.locator(".row", has=folder)).to_contain_text(f"{NEW_PHOTOS} photos")
    await folder.focus()
    await page.keyboard.press("ArrowRight")
    people = page.get_by_role("checkbox", name="people", exact=True)
    await expect(people).to_be_visible()
    await page.keyboard.press("ArrowDown")
    await expect(people).to_be_focused()
    await page.keyboard.press("Space")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Space")

    shown = page.get_by_role("complementary", name="The folder looked at").get_by_role("img").first
    await expect(shown).to_be_visible()
    assert await shown.evaluate("async (image) => (await image.decode(), image.naturalWidth)") > 0
    await page.get_by_label("Name").fill("Some of it")
    await page.get_by_role("combobox", name="Category").select_option("New…")
    await page.get_by_label("Name of the new category").fill("Travels")
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Some of it").wait_for()

    session = (await client.get("/training/sessions"))["items"][0]
    walked = await client.get(f"/training/sessions/{session['id']}/subdirectories")
    assert session["rootPath"] == str(new_photos)
    assert session["category"]["name"] == "Travels"
    assert [Path(each["path"]).name for each in walked if each["selected"]] == ["people", "places"]
    await expect(page.get_by_text("✓ All Phases Complete")).to_be_visible(timeout=TRAIN_MILLISECONDS)


async def test_what_the_gateway_objects_to_is_said_at_its_field(reader: Reader, new_photos: Path) -> None:
    page = reader.page
    await reader.open("#/sessions/new")
    await choose(page, "Gone", new_photos)
    await asyncio.to_thread(shutil.rmtree, new_photos)
    await page.get_by_role("button", name="Start training").click()
    folders = page.get_by_role("group", name="Folders to train on")
    await expect(folders.get_by_text("does not exist")).to_be_visible()
    await expect(folders.get_by_role("checkbox").first).to_be_focused()


async def test_a_session_may_be_created_and_started_later(reader: Reader, new_photos: Path) -> None:
    page = reader.page
    await reader.open("#/sessions/new")
    await choose(page, "Later", new_photos)
    await page.get_by_role("button", name="Create it, and start later").click()
    await expect(page.get_by_text("Not started")).to_be_visible()
    await expect(page.get_by_role("button", name="Start training")).to_be_visible()
