"""The form for a new session, as a reader fills it in."""

from pathlib import Path

from playwright.async_api import Page

from tests.browser.conftest import Reader


async def choose(page: Page, name: str, folder: Path) -> None:
    """Tick a folder of the media root, and name the session; the form must be on the page."""
    await page.get_by_role("checkbox", name=folder.name, exact=True).check()
    await page.get_by_label("Name").fill(name)


async def create(reader: Reader, name: str, folder: Path) -> None:
    """Fill in the form, and land on the session's own page."""
    await reader.open("#/sessions/new")
    await choose(reader.page, name, folder)
    await reader.page.get_by_role("button", name="Start training").click()
    await reader.page.get_by_role("heading", name=name).wait_for()
