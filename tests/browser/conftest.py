"""Debian's browsers before a whole stack that trains a sample library for real."""

import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, Playwright, async_playwright

from tests.browser.browsers import launch_chromium
from tests.support.running_triptych import Client, Triptych, clean_environment, triptych, triptych_up, working_directory

PHOTOS = 24
NEW_PHOTOS = 16
"""Some seconds of work."""
TRAIN_SECONDS = 120
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")


# One stack serves all tests of a process: to start one takes longer than most of them. Each test brings photos of its
# own, or reads what was found in those that are shared, and leaves no session at work.


@pytest.fixture(scope="session")
def directory() -> Iterator[Path]:
    """A directory of the tests' own, with a place for photos in it."""
    with working_directory() as made:
        (made / "media").mkdir()
        yield made


@pytest.fixture(scope="session")
def running(directory: Path) -> Iterator[Triptych]:
    """`triptych up` with the place for photos as its media root."""
    with triptych_up(directory, media_roots=[directory / "media"], settings={}) as started:
        yield started


def write_samples(folder: Path, *, count: int, seed: int) -> Path:
    """A sample library; another seed gives other photos."""
    subprocess.run(
        triptych("samples", folder, "--count", str(count), "--seed", str(seed)),
        env=clean_environment(),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return folder


@pytest.fixture(scope="session")
def photos(directory: Path) -> Path:
    """Photos that tests share: what was found in them once is known."""
    return write_samples(directory / "media" / "photos", count=PHOTOS, seed=0)


@pytest_asyncio.fixture
async def client(running: Triptych) -> AsyncIterator[Client]:
    """REST calls of somebody else."""
    one = Client(running.url)
    yield one
    await one.aclose()


@pytest_asyncio.fixture
async def session_id(client: Client, photos: Path) -> int:
    """The id of a completed session over the shared photos."""
    sessions = await client.get_all("/training/sessions")
    known = [session["id"] for session in sessions if session["rootPath"] == str(photos)]
    trained: int = known[0] if known else await client.begin(photos, shard_photos=16)
    await ended(client, trained)
    return trained


async def ended(client: Client, session_id: int) -> None:
    """Wait until a session has ended; it must have ended well."""
    async for watch in client.watch(session_id, deadline_seconds=TRAIN_SECONDS):
        status = watch.last["overallStatus"]
    assert status == "completed"


@pytest.fixture
def new_photos(directory: Path) -> Path:
    """Photos that no session has seen."""
    known = sum(1 for _ in (directory / "media").iterdir())
    return write_samples(directory / "media" / f"new-{known}", count=NEW_PHOTOS, seed=known + 1)


@pytest.fixture
def launch() -> Callable[[Playwright], Awaitable[Browser]]:
    """Starts the browser that is read with; a module of tests may have another."""
    return launch_chromium


@pytest_asyncio.fixture
async def browser(launch: Callable[[Playwright], Awaitable[Browser]]) -> AsyncIterator[Browser]:
    """A browser without a window."""
    async with async_playwright() as playwright:
        started = await launch(playwright)
        yield started
        await started.close()


@dataclass(kw_only=True)
class Reader:
    """Somebody who reads the page."""

    page: Page
    url: str
    mistakes: list[str] = field(default_factory=list)
    """What went wrong in the page's own code, or that the browser complained of."""

    async def open(self, address: str) -> None:
        """Go to one of the page's addresses, such as `#/people`."""
        await self.page.goto(f"{self.url}/{address}")

    def note_mistakes(self) -> None:
        """Take note of them from now on."""
        self.page.on("pageerror", lambda error: self.mistakes.append(str(error)))
        self.page.on("console", self._note_complaint)

    def _note_complaint(self, message: ConsoleMessage) -> None:
        # A gateway that is away or says no is no mistake of the page's: tests that bring that about see what it does.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.mistakes.append(message.text)


@pytest_asyncio.fixture
async def reader(browser: Browser, running: Triptych) -> AsyncIterator[Reader]:
    """A reader in a browser of their own; the page makes no mistake while they read."""
    context = await browser.new_context(locale="en-US", viewport={"width": 1100, "height": 900})
    context.set_default_timeout(30_000)
    one = Reader(page=await context.new_page(), url=running.url)
    one.note_mistakes()
    yield one
    await context.close()
    assert one.mistakes == []
