"""Pictures of every page and state, light and dark, narrow and wide: `make screenshots`."""

import argparse
import asyncio
import itertools
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.browser.browsers import launch_chromium
from tests.browser.conftest import SCHEMES, write_samples
from tests.browser.pacing import photo_by_photo
from tests.browser.page_states import PageState
from tests.browser.scenes import SCENES, faces_looked_for, until
from tests.support.running_triptych import Client, Triptych, triptych_up, working_directory

_WINDOWS: Final = ((360, 740), (1440, 900), (3840, 2160))
"""Widths and heights of a phone, a laptop, and 4K, in pixels."""
_SETTLE_MILLISECONDS: Final = 800
_DRAWN: Final = """
async () => {
    for (let frames = 0; frames < 3; frames += 1) await new Promise(requestAnimationFrame);
    await Promise.all([...document.images].map((image) => {
        image.loading = 'eager';
        return image.decode().catch(() => undefined);
    }));
}
"""
"""Long enough for what a page does in another window; with it the pictures that would wait until the reader is near.
One that cannot be had is pictured as it is then."""
_SHOWN_IN_README: Final[dict[str, Any]] = {"viewport": {"width": 1040, "height": 600}, "device_scale_factor": 1.5}
_NAMES: Final = tuple(name for scene in SCENES for name in scene.names)


def main() -> None:
    """Write `<state>-<scheme>-<width>.png` for each into the directory that is named, or the README's picture alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument(
        "--state", action="append", default=[], choices=_NAMES, help="picture this state only, and others so named"
    )
    parser.add_argument("--readme", type=Path, help="write the picture that the README shows to this file")
    parser.add_argument("--media", type=Path, help="an empty directory for the photos, whose name is on the pictures")
    arguments = parser.parse_args()
    if arguments.directory is not None:
        arguments.directory.mkdir(parents=True, exist_ok=True)
    asyncio.run(start_and_picture(arguments))


@dataclass(frozen=True, kw_only=True)
class Studio:
    """What pictures are taken of, and with."""

    running: Triptych
    client: Client
    media: Path
    browser: Browser
    target: Path
    wanted: frozenset[str]
    """Names of states."""
    pictured: set[str] = field(default_factory=set)

    async def picture(self, states: Mapping[str, PageState], *, url: str | None = None) -> None:
        """Picture pages at every width and in both schemes; of another gateway where one is named."""
        for name, state in states.items():
            if name not in self.wanted:
                continue
            started_at = time.monotonic()
            context = await self.browser.new_context(locale="en-US", reduced_motion="reduce")
            page = await bring_about(context, url or self.running.url, state)
            for scheme, (width, height) in itertools.product(SCHEMES, _WINDOWS):
                await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                await page.set_viewport_size({"width": width, "height": height})
                await picture_one(page, self.target / f"{name}-{scheme}-{width}.png")
            await page.unroute_all(behavior="ignoreErrors")
            await context.close()
            self.pictured.add(name)
            sys.stdout.write(f"{name}: {time.monotonic() - started_at:.1f} s\n")
            sys.stdout.flush()


async def bring_about(context: BrowserContext, url: str, state: PageState) -> Page:
    """A page of its own, in a state."""
    page = await context.new_page()
    await state.before(page)
    await page.goto(f"{url}/{state.address}")
    await page.locator("h1, h2").first.wait_for()
    await state.bring_about(page)
    # Nothing tells that no more is to come: long enough for answers.
    await page.wait_for_timeout(_SETTLE_MILLISECONDS)
    return page


async def picture_one(page: Page, target: Path) -> None:
    """Picture the whole page as it is."""
    await page.evaluate(_DRAWN)
    # What is behind a dialog is darkened in the window alone.
    is_asked = await page.locator("dialog[open]").count() > 0
    await page.screenshot(path=target, full_page=not is_asked)


async def start_and_picture(arguments: argparse.Namespace) -> None:
    """Start a stack and a browser for it."""
    with working_directory() as directory:
        photos: Path = arguments.media or directory / "media"
        await asyncio.to_thread(photos.mkdir, exist_ok=True)
        settings = {"TRIPTYCH_MICRO_BATCH": "1"}
        with triptych_up(directory, media_roots=[photos], settings=settings) as running:
            async with async_playwright() as playwright:
                browser = await launch_chromium(playwright)
                client = Client(running.url)
                try:
                    if arguments.readme is not None:
                        await picture_for_readme(running, client, photos, browser, arguments.readme)
                    if arguments.directory is not None:
                        studio = Studio(
                            running=running,
                            client=client,
                            media=photos,
                            browser=browser,
                            target=arguments.directory,
                            wanted=frozenset(arguments.state or _NAMES),
                        )
                        await picture_all(studio)
                finally:
                    await client.aclose()
                    await browser.close()


async def picture_all(studio: Studio) -> None:
    """Bring about one scene after another, as far as any of it is wanted. Raises AssertionError if one is missed."""
    for scene in SCENES:
        if studio.wanted.intersection(scene.names):
            await scene.make(studio)
    assert studio.pictured == studio.wanted, f"not pictured: {studio.wanted - studio.pictured}"


async def picture_for_readme(running: Triptych, client: Client, media: Path, browser: Browser, target: Path) -> None:
    """A session in the middle of its second phase, as sharp as on a good screen."""
    photos = await asyncio.to_thread(write_samples, media / "Summer 2026", count=60, seed=1)
    session_id = await client.begin(photos, shard_photos=16)
    await until(client, session_id, lambda snapshot: faces_looked_for(snapshot) >= 20)
    async with photo_by_photo(running, client, session_id):
        context = await browser.new_context(locale="en-US", reduced_motion="reduce", **_SHOWN_IN_README)
        page = await bring_about(context, running.url, PageState(address=f"#/sessions/{session_id}"))
        await picture_one(page, target)
        await context.close()
    (await client.post(f"/training/sessions/{session_id}/cancel")).raise_for_status()


if __name__ == "__main__":
    main()
