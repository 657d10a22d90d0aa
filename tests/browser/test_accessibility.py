"""For everyone: axe finds nothing to object to on any page, light or dark, and each can be used without a mouse."""

import itertools
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.axe import objections
from tests.browser.conftest import SCHEMES, TRAIN_SECONDS, Reader
from tests.browser.new_session import create
from tests.support.running_triptych import Client, Triptych

TRAIN_MILLISECONDS = 1_000 * TRAIN_SECONDS
FOCUSED = """
() => {
    const one = document.activeElement;
    if (one === document.body) return null;
    one.dataset.reached = '';
    const isOutlined = [null, '::after'].some((part) => getComputedStyle(one, part).outlineStyle !== 'none');
    return {html: one.outerHTML.slice(0, 200), isOutlined};
}
"""
"""What has the focus; null once it has left the page."""
OUT_OF_REACH = """
() => [...document.querySelectorAll(':is(button, input, select):enabled, a[href], summary')]
    .filter((one) => one.checkVisibility() && one.dataset.reached === undefined)
    .map((one) => one.outerHTML)
"""


@pytest_asyncio.fixture
async def person(client: Client, session_id: int) -> dict[str, Any]:
    """Somebody who was found."""
    found: dict[str, Any] = (await client.get("/faces/persons"))["items"][0]
    return found


async def open_anew(reader: Reader, address: str, *, heading: str) -> None:
    """Go to an address as from a bookmark, and wait until it is all there: nothing on it is of the page before."""
    await reader.page.goto("about:blank")
    await reader.open(address)
    await expect(reader.page.get_by_role("heading", name=heading).first).to_be_visible()
    await reader.page.wait_for_load_state("networkidle")


@pytest.fixture
def pages(session_id: int, person: dict[str, Any]) -> dict[str, str]:
    """A heading of every page, by its address."""
    return {
        "#/sessions": "Sessions",
        "#/sessions/new": "New session",
        f"#/sessions/{session_id}": "People found",
        "#/people": "People",
        f"#/people/{person['id']}": person["name"] or f"Person {person['id']}",
        "#/people/unsorted": "Unsorted faces",
        "#/search": "Search",
        "#/search/photo/1": "Photos like",
        "#/nowhere": "There is no such page",
    }


@pytest.mark.parametrize(("scheme", "width"), [*itertools.product(SCHEMES, [360, 1280])])
async def test_no_page_is_objected_to(
    reader: Reader, pages: dict[str, str], scheme: Literal["light", "dark"], width: int
) -> None:
    page = reader.page
    await page.set_viewport_size({"width": width, "height": 800})
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    for address, heading in pages.items():
        await open_anew(reader, address, heading=heading)
        assert await objections(page) == [], address
        assert await page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), address


async def test_no_state_of_a_session_is_objected_to_and_nothing_moves_where_the_reader_wants_no_motion(
    reader: Reader, running: Triptych, new_photos: Path
) -> None:
    async def look(state: str) -> None:
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            assert await objections(page) == [], (state, scheme)

    page = reader.page
    await create(reader, "Looked at", new_photos)
    face_detection = page.get_by_role("region", name="Face Detection", exact=True)
    await expect(face_detection).to_contain_text("Running", timeout=TRAIN_MILLISECONDS)
    with running.held("facedetect"):
        await expect(page.locator(".working")).to_be_visible()
        assert await page.evaluate("() => document.getAnimations().length") > 0
        await look("running")
        assert await page.evaluate("() => document.getAnimations().length") == 0
        await page.get_by_role("button", name="Cancel").click()
        await look("asked whether to cancel")
        await page.get_by_role("button", name="Cancel the session").click()
    await expect(page.get_by_text("Cancelled in")).to_be_visible()
    await look("cancelled")
    await page.get_by_text("Do again…").click()
    await look("offered to be done again")
    await page.set_viewport_size({"width": 360, "height": 800})
    await page.get_by_text("Remove…").click()
    await look("offered to be removed")
    assert await page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    await page.get_by_role("button", name="Forget it and what it found…").click()
    await look("asked whether to forget")


async def test_all_that_can_be_used_is_reached_by_the_tab_key_and_shown_to_have_the_focus(
    reader: Reader, pages: dict[str, str]
) -> None:
    page = reader.page
    for address, heading in pages.items():
        await open_anew(reader, address, heading=heading)
        await page.keyboard.press("Tab")
        while focused := await page.evaluate(FOCUSED):
            assert focused["isOutlined"], (address, focused["html"])
            await page.keyboard.press("Tab")
        assert await page.evaluate(OUT_OF_REACH) == [], address


async def test_a_photo_is_opened_and_closed_with_the_keyboard(reader: Reader, person: dict[str, Any]) -> None:
    await reader.open(f"#/people/{person['id']}")
    face = reader.page.get_by_role("list", name="Faces of").get_by_role("button", name="Open").first
    await face.focus()
    await reader.page.keyboard.press("Enter")
    dialog = reader.page.get_by_role("dialog")
    await expect(dialog.get_by_role("button", name="Face 1", exact=True)).to_be_visible()
    await reader.page.set_viewport_size({"width": 360, "height": 800})
    assert await dialog.evaluate("(one) => one.scrollWidth <= one.clientWidth")
    await reader.page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(face).to_be_focused()


async def test_whoever_goes_by_the_keyboard_stays_where_they_are(
    reader: Reader, client: Client, session_id: int
) -> None:
    """What had the focus may be gone: a page that was left, a button that was pressed, a face that was taken out."""
    page = reader.page
    person = (await client.get("/faces/persons"))["items"][0]
    await open_anew(reader, "#/sessions", heading="Sessions")
    await page.get_by_role("link", name="People").press("Enter")
    await expect(page.get_by_role("main")).to_be_focused()

    await page.get_by_role("button", name="Merge…").press("Enter")
    await expect(page.locator("main li button").first).to_be_focused()
    await page.get_by_role("button", name="Cancel").press("Enter")
    await expect(page.get_by_role("button", name="Merge…")).to_be_focused()

    await open_anew(reader, f"#/people/{person['id']}", heading=person["name"] or f"Person {person['id']}")
    disown = page.get_by_role("list", name="Faces of").get_by_role("button", name="Not this person")
    await expect(disown).to_have_count(person["faceCount"])
    await disown.nth(1).press("Enter")
    await expect(disown).to_have_count(person["faceCount"] - 1)
    await expect(disown.nth(1)).to_be_focused()
