"""States of a page that a reader brings about: a dialog that is open, something that was refused, what was found."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.async_api import Page, Route, expect

from tests.browser.new_session import choose

_ANSWERS: Final = re.compile("/(api/|health)")


async def _nothing(page: Page) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class PageState:
    """A page in a state."""

    address: str
    """Such as `#/people`."""
    bring_about: Callable[[Page], Awaitable[None]] = _nothing
    """Done once the page is there."""
    before: Callable[[Page], Awaitable[None]] = _nothing
    """Done before it is asked for."""


async def _refuse(route: Route) -> None:
    await route.abort()


async def refuse_streams(page: Page) -> None:
    """Progress is polled: a stream that is open would outlast the loss of a gateway that is only played."""
    await page.route("**/progress*/stream", _refuse)


async def lose_gateway(page: Page) -> None:
    """No gateway answers from now on."""
    await page.route(_ANSWERS, _refuse)


async def hold_answers(page: Page) -> None:
    """Nothing is answered from now on, as where a gateway is slow."""

    async def hold(route: Route) -> None:
        pass

    await page.route(_ANSWERS, hold)


async def notice_the_loss(page: Page) -> None:
    """The gateway goes away while the page is open, and the reader comes back to it."""
    await lose_gateway(page)
    await page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    await page.get_by_text("Waiting for the gateway").wait_for()


async def open_menu(page: Page) -> None:
    """What can be done again."""
    await page.get_by_text("Do again…").click()


async def ask_whether(page: Page) -> None:
    """The question before a phase is done again."""
    await open_menu(page)
    await page.get_by_role("button", name="Train again").click()
    await page.get_by_role("alertdialog").wait_for()


async def open_face(page: Page) -> None:
    """A photo with its faces boxed."""
    await page.get_by_role("list", name="Faces of").get_by_role("button", name="Open").first.click()
    await page.get_by_role("dialog").get_by_role("button", name="Face 1", exact=True).wait_for()


async def pick_two(page: Page) -> None:
    """Two persons who are to be one."""
    await page.get_by_role("button", name="Merge…").click()
    for place in (0, 1):
        await page.get_by_role("list", name="Everybody found").get_by_role("button").nth(place).click()


async def ask_whether_one(page: Page) -> None:
    """The question before two are made one."""
    await pick_two(page)
    await page.get_by_role("button", name="Same person (2)…").click()
    await page.get_by_role("alertdialog").wait_for()


async def give_a_name_that_is_taken(page: Page) -> None:
    """Somebody else has the name."""
    await page.get_by_placeholder("Who is this?").fill("Ada Lovelace")
    await page.get_by_text("There is another person of this name").wait_for()


async def ask_whether_to_forget_photo(page: Page) -> None:
    """The question before a photo is forgotten."""
    await open_face(page)
    await page.get_by_role("button", name="Forget this photo…").click()
    await page.get_by_role("alertdialog").wait_for()


async def open_removal(page: Page) -> None:
    """The two ways of removing a session."""
    await page.get_by_text("Remove…").click()
    await page.get_by_role("button", name="Forget it and what it found…").wait_for()


async def ask_whether_to_forget_session(page: Page) -> None:
    """The question before a session is forgotten with what it found."""
    await open_removal(page)
    await page.get_by_role("button", name="Forget it and what it found…").click()
    await page.get_by_role("alertdialog").wait_for()


async def delete_session(page: Page) -> None:
    """What is told once a session is deleted."""
    await open_removal(page)
    await page.get_by_role("button", name="Delete the session…").click()
    await page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
    await page.get_by_text("was deleted.").wait_for()


async def pick_another(page: Page) -> None:
    """Who is not the same person."""
    await page.get_by_role("button", name="Add another…").click()
    await page.get_by_role("region", name="Who is not the same person").get_by_role("button").last.wait_for()


async def show_hidden(page: Page) -> None:
    """Those who are hidden."""
    await page.get_by_role("checkbox", name="Hidden ones").check()
    await page.get_by_text("Nobody is hidden.").wait_for()


async def search_in_words(page: Page) -> None:
    """A text that the model cannot read."""
    await page.get_by_placeholder("a red boat on the beach").fill("a cat")
    await page.get_by_role("button", name="Search").click()
    await page.get_by_role("alert").wait_for()


def search_by(picture: Path) -> Callable[[Page], Awaitable[None]]:
    """Photos that are like a file."""

    async def search(page: Page) -> None:
        await page.get_by_label("Or by a picture").set_input_files(picture)
        await page.get_by_role("list", name="Photos found").wait_for()

    return search


async def wait_for_folders(page: Page) -> None:
    """The folders of the media roots."""
    await page.get_by_role("checkbox").first.wait_for()


def look_at(folder: Path) -> Callable[[Page], Awaitable[None]]:
    """A folder ticked and opened in the form for a session, and the form sent without a name."""

    async def look(page: Page) -> None:
        await choose(page, " ", folder)
        await page.get_by_role("button", name=f"Folders in {folder.name}", exact=True).click()
        await page.get_by_role("button", name="Folders in people", exact=True).click()
        await page.get_by_role("img").first.wait_for()
        await page.get_by_role("button", name="Start training").click()
        await expect(page.locator("#name-mistake")).not_to_be_empty()

    return look


async def send_empty_form(page: Page) -> None:
    """No folder is ticked."""
    await page.get_by_label("Name").fill("Summer")
    await page.get_by_role("button", name="Start training").click()
    await expect(page.locator("#folders-mistake")).not_to_be_empty()


async def log_in_in_vain(page: Page) -> None:
    """A token that is not known."""
    await page.get_by_label("Token").fill("not-a-token")
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_role("alert").wait_for()
