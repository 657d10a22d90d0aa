"""Pictures of every page and state, light and dark, narrow and wide: `make screenshots`.

A whole stack trains sample photos for real, and is held where a state is to be seen.
"""

import argparse
import asyncio
import itertools
import re
from pathlib import Path
from typing import Any, Final, Literal

from playwright.async_api import Browser, Route, async_playwright

from tests.browser.browsers import launch_chromium
from tests.browser.conftest import ended, write_samples
from tests.support.running_triptych import Client, Triptych, triptych_up, working_directory

_TRAIN_SECONDS: Final = 180
_SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
_WIDTHS: Final = (360, 1440, 3840)
_SETTLE_MILLISECONDS: Final = 800
_LOAD_PICTURES: Final = """
() => Promise.all([...document.images].map((image) => {
    image.loading = 'eager';
    return image.decode().catch(() => undefined);
}))
"""
"""Also those that would wait until the reader is near; one that cannot be had is pictured as it is then."""
_ANSWERS: Final = re.compile("/(api/|health)")


def main() -> None:
    """Write `<state>-<scheme>-<width>.png` for each into the directory that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    target: Path = parser.parse_args().directory
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(start_and_picture(target))


async def start_and_picture(target: Path) -> None:
    """Start a stack and a browser for it."""
    with working_directory() as directory:
        media = directory / "media"
        media.mkdir()
        with triptych_up(directory, media_roots=[media], settings={}) as running:
            async with async_playwright() as playwright:
                browser = await launch_chromium(playwright)
                await picture_all(running, media, browser, target)
                await browser.close()


async def picture_all(running: Triptych, media: Path, browser: Browser, target: Path) -> None:
    """Bring about one state after another, and picture each."""
    client = Client(running.url)
    try:
        await picture(browser, running, target, {"sessions-empty": "#/sessions", "people-empty": "#/people"})
        pages = await prepare(client, media)
        await picture(browser, running, target, pages)
        await picture_at_work(running, client, media, browser, target)
        await picture(browser, running, target, {"gateway-away": "#/people"}, is_away=True)
    finally:
        await client.aclose()


async def prepare(client: Client, media: Path) -> dict[str, str]:
    """Train, and return the address of each page that can be pictured at rest, by its name."""
    summer = await asyncio.to_thread(write_samples, media / "summer", count=48, seed=1)
    await asyncio.to_thread((summer / "people" / "cut-off.jpg").write_bytes, b"\xff\xd8\xff\xe0 no more than this")
    completed = await client.begin(summer, shard_photos=16)
    await ended(client, completed)
    broken = media / "broken"
    broken.mkdir()
    await asyncio.to_thread((broken / "notes.jpg").write_text, "no photo")
    failed = await client.begin(broken, shard_photos=16)
    async for _ in client.watch(failed, deadline_seconds=_TRAIN_SECONDS):
        pass
    person = (await client.get("/faces/persons"))["items"][0]
    pending = await client.post("/training/sessions", json={"name": "Not yet", "rootPath": str(summer)})
    return {
        "sessions": "#/sessions",
        "new-session": "#/sessions/new",
        "completed": f"#/sessions/{completed}",
        "failed": f"#/sessions/{failed}",
        "pending": f"#/sessions/{pending.json()['id']}",
        "people": "#/people",
        "person": f"#/people/{person['id']}",
        "unsorted": "#/people/unsorted",
        "search": "#/search",
        "similar": "#/search/photo/1",
        "unknown": "#/nowhere",
    }


async def picture_at_work(running: Triptych, client: Client, media: Path, browser: Browser, target: Path) -> None:
    """Picture a session in the middle of face detection, and paused there."""
    winter = await asyncio.to_thread(write_samples, media / "winter", count=48, seed=2)
    session_id = await client.begin(winter, shard_photos=8)
    async for watch in client.watch(session_id, deadline_seconds=_TRAIN_SECONDS):
        if watch.last["phases"]["faceDetection"]["progress"]["current"] >= 8:
            break
    with running.held("facedetect"):
        pages = {"running": f"#/sessions/{session_id}", "sessions-running": "#/sessions"}
        await picture(browser, running, target, pages)
        (await client.post(f"/training/sessions/{session_id}/pause")).raise_for_status()
        await picture(browser, running, target, {"paused": f"#/sessions/{session_id}"})


async def picture(
    browser: Browser, running: Triptych, target: Path, pages: dict[str, str], *, is_away: bool = False
) -> None:
    """Picture pages at every width and in both schemes; with ``is_away`` as they are when no gateway answers."""
    for scheme, width in itertools.product(_SCHEMES, _WIDTHS):
        options: dict[str, Any] = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
        context = await browser.new_context(locale="en-US", reduced_motion="reduce", **options)
        if is_away:
            await context.route(_ANSWERS, refuse)
        page = await context.new_page()
        for name, address in pages.items():
            await page.goto(f"{running.url}/{address}")
            await page.locator("h1, h2").first.wait_for()
            # Nothing tells that no more is to come: long enough for answers, pictures and what moves.
            await page.wait_for_timeout(_SETTLE_MILLISECONDS)
            await page.evaluate(_LOAD_PICTURES)
            await page.screenshot(path=target / f"{name}-{scheme}-{width}.png", full_page=True)
        await context.close()


async def refuse(route: Route) -> None:
    """Answer nothing."""
    await route.abort()


if __name__ == "__main__":
    main()
