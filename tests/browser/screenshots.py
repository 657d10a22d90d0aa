"""Pictures of every page and state, light and dark, narrow and wide: `make screenshots`.

A whole stack trains sample photos for real, and is held or slowed where a state is to be seen.
"""

import argparse
import asyncio
import itertools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from playwright.async_api import Browser, BrowserContext, async_playwright

from tests.browser import page_states
from tests.browser.browsers import launch_chromium
from tests.browser.conftest import TRAIN_SECONDS, ended, write_samples
from tests.browser.guarded_gateway import guarded_gateway
from tests.browser.older_session import make_older
from tests.browser.pacing import photo_by_photo
from tests.browser.page_states import PageState
from tests.support.running_triptych import Client, Triptych, triptych_up, working_directory

_SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
_WINDOWS: Final = ((360, 740), (1440, 900), (3840, 2160))
"""Widths and heights of a phone, a laptop, and 4K, in pixels."""
_SETTLE_MILLISECONDS: Final = 800
_PHOTOS: Final = 48
_LOAD_PICTURES: Final = """
() => Promise.all([...document.images].map((image) => {
    image.loading = 'eager';
    return image.decode().catch(() => undefined);
}))
"""
"""Also those that would wait until the reader is near; one that cannot be had is pictured as it is then."""
_SHOWN_IN_README: Final[dict[str, Any]] = {"viewport": {"width": 1040, "height": 600}, "device_scale_factor": 1.5}


def main() -> None:
    """Write `<state>-<scheme>-<width>.png` for each into the directory that is named, or the README's picture alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--state", action="append", default=[], help="picture this state only, and others so named")
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
    """Names of states; all where it is empty."""

    async def picture(self, states: Mapping[str, PageState], *, url: str | None = None) -> None:
        """Picture pages at every width and in both schemes; of another gateway where one is named."""
        for name, state in states.items():
            if self.wanted and name not in self.wanted:
                continue
            async with asyncio.TaskGroup() as tasks:
                for scheme, (width, height) in itertools.product(_SCHEMES, _WINDOWS):
                    target = self.target / f"{name}-{scheme}-{width}.png"
                    options: dict[str, Any] = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
                    tasks.create_task(self._picture_so(url or self.running.url, state, target, **options))

    async def _picture_so(self, url: str, state: PageState, target: Path, **options: Any) -> None:
        context = await self.browser.new_context(locale="en-US", reduced_motion="reduce", **options)
        await picture_one(context, url, state, target)
        await context.close()


async def picture_one(context: BrowserContext, url: str, state: PageState, target: Path) -> None:
    """Bring a state about in a window of its own, and picture the whole page."""
    page = await context.new_page()
    await state.before(page)
    await page.goto(f"{url}/{state.address}")
    await page.locator("h1, h2").first.wait_for()
    await state.bring_about(page)
    # Nothing tells that no more is to come: long enough for answers, pictures and what moves.
    await page.wait_for_timeout(_SETTLE_MILLISECONDS)
    await page.evaluate(_LOAD_PICTURES)
    # What is behind a dialog is darkened in the window alone.
    is_asked = await page.locator("dialog[open]").count() > 0
    await page.screenshot(path=target, full_page=not is_asked)
    await page.unroute_all(behavior="ignoreErrors")


async def start_and_picture(arguments: argparse.Namespace) -> None:
    """Start a stack and a browser for it."""
    target, readme = arguments.directory, arguments.readme
    with working_directory() as directory:
        photos: Path = arguments.media or directory / "media"
        await asyncio.to_thread(photos.mkdir, exist_ok=True)
        settings = {"TRIPTYCH_MICRO_BATCH": "1"}
        with triptych_up(directory, media_roots=[photos], settings=settings) as running:
            async with async_playwright() as playwright:
                browser = await launch_chromium(playwright)
                client = Client(running.url)
                try:
                    if readme is not None:
                        await picture_for_readme(running, client, photos, browser, readme)
                    if target is not None:
                        wanted = frozenset(arguments.state)
                        await picture_all(
                            Studio(
                                running=running,
                                client=client,
                                media=photos,
                                browser=browser,
                                target=target,
                                wanted=wanted,
                            )
                        )
                finally:
                    await client.aclose()
                    await browser.close()


async def picture_for_readme(running: Triptych, client: Client, media: Path, browser: Browser, target: Path) -> None:
    """A session in the middle of its second phase, as sharp as on a good screen."""
    photos = await asyncio.to_thread(write_samples, media / "Summer 2026", count=60, seed=1)
    session_id = await client.begin(photos, shard_photos=16)
    await until_faces_are_looked_for(client, session_id, photos=20)
    async with photo_by_photo(running, client, session_id):
        context = await browser.new_context(locale="en-US", **_SHOWN_IN_README)
        await picture_one(context, running.url, PageState(address=f"#/sessions/{session_id}"), target)
        await context.close()
    (await client.post(f"/training/sessions/{session_id}/cancel")).raise_for_status()


async def until_faces_are_looked_for(client: Client, session_id: int, *, photos: int) -> None:
    """Wait until face detection has done so many."""
    async for watch in client.watch(session_id, deadline_seconds=TRAIN_SECONDS):
        if watch.last["phases"]["faceDetection"]["progress"]["current"] >= photos:
            return
    raise AssertionError("the session ended before that")


async def picture_all(studio: Studio) -> None:
    """Bring about one state after another, and picture each."""
    await studio.picture(
        {
            "sessions-empty": PageState(address="#/sessions"),
            "people-empty": PageState(address="#/people"),
            "search-empty": PageState(address="#/search"),
        }
    )
    await studio.picture(await prepare(studio.client, studio.media))
    await picture_at_work(studio)
    await picture_older(studio)
    with tempfile.TemporaryDirectory() as folder, guarded_gateway(studio.running, Path(folder)) as guarded:
        await studio.picture({"login": PageState(address="#/sessions")}, url=guarded.url)


async def prepare(client: Client, media: Path) -> dict[str, PageState]:
    """Train, and return what can be pictured at rest, by its name."""
    summer = await asyncio.to_thread(write_samples, media / "summer", count=_PHOTOS, seed=1)
    await asyncio.to_thread((summer / "people" / "cut-off.jpg").write_bytes, b"\xff\xd8\xff\xe0 no more than this")
    completed = await client.begin(summer, shard_photos=16)
    await ended(client, completed)
    broken = media / "broken"
    broken.mkdir()
    await asyncio.to_thread((broken / "notes.jpg").write_text, "no photo")
    failed = await client.begin(broken, shard_photos=16)
    async for _ in client.watch(failed, deadline_seconds=TRAIN_SECONDS):
        pass
    one, other = (await client.get("/faces/persons"))["items"][:2]
    await client.change(f"/faces/persons/{one['id']}", {"name": "Ada Lovelace"})
    (await client.post(f"/faces/persons/{one['id']}/different", json={"personIds": [other["id"]]})).raise_for_status()
    pending = await client.post("/training/sessions", json={"name": "Not yet", "rootPath": str(summer)})
    picture = next(summer.rglob("*.jpg"))
    return {
        "sessions": PageState(address="#/sessions"),
        "sessions-loading": PageState(address="#/sessions", before=page_states.hold_answers),
        "new-session": PageState(address="#/sessions/new"),
        "new-session-folder": PageState(address="#/sessions/new", bring_about=page_states.look_at(summer)),
        "new-session-empty": PageState(address="#/sessions/new", bring_about=page_states.send_empty_form),
        "completed": PageState(address=f"#/sessions/{completed}"),
        "completed-menu": PageState(address=f"#/sessions/{completed}", bring_about=page_states.open_menu),
        "completed-asked": PageState(address=f"#/sessions/{completed}", bring_about=page_states.ask_whether),
        "failed": PageState(address=f"#/sessions/{failed}"),
        "pending": PageState(address=f"#/sessions/{pending.json()['id']}"),
        "session-loading": PageState(address=f"#/sessions/{completed}", before=page_states.hold_answers),
        "session-unknown": PageState(address="#/sessions/999999"),
        "people": PageState(address="#/people"),
        "people-merging": PageState(address="#/people", bring_about=page_states.pick_two),
        "people-hidden": PageState(address="#/people", bring_about=page_states.show_hidden),
        "people-gateway-away": PageState(address="#/people", before=page_states.lose_gateway),
        "person": PageState(address=f"#/people/{other['id']}"),
        "person-named": PageState(address=f"#/people/{one['id']}"),
        "person-opened": PageState(address=f"#/people/{one['id']}", bring_about=page_states.open_face),
        "person-not-another": PageState(address=f"#/people/{one['id']}", bring_about=page_states.pick_another),
        "person-unknown": PageState(address="#/people/999999"),
        "unsorted": PageState(address="#/people/unsorted"),
        "search": PageState(address="#/search"),
        "search-refused": PageState(address="#/search", bring_about=page_states.search_in_words),
        "search-found": PageState(address="#/search", bring_about=page_states.search_by(picture)),
        "similar": PageState(address="#/search/photo/1"),
        "unknown": PageState(address="#/nowhere"),
    }


async def picture_at_work(studio: Studio) -> None:
    """Picture a session in the middle of face detection, held there, paused and cancelled."""
    client, running = studio.client, studio.running
    winter = await asyncio.to_thread(write_samples, studio.media / "winter", count=4 * _PHOTOS, seed=2)
    session_id = await client.begin(winter, shard_photos=16)
    address = f"#/sessions/{session_id}"
    await until_faces_are_looked_for(client, session_id, photos=16)
    with running.held("facedetect"):
        async for watch in client.watch(session_id, deadline_seconds=TRAIN_SECONDS):
            if watch.last["overallProgress"]["stall"] is not None:
                break
        await studio.picture({"stalled": PageState(address=address)})
    await until_faces_are_looked_for(client, session_id, photos=32)
    async with photo_by_photo(running, client, session_id):
        away = PageState(address=address, before=page_states.refuse_streams, bring_about=page_states.notice_the_loss)
        at_work = {"running": PageState(address=address), "sessions-running": PageState(address="#/sessions")}
        await studio.picture({**at_work, "running-gateway-away": away})
        (await client.post(f"/training/sessions/{session_id}/pause")).raise_for_status()
    await studio.picture({"paused": PageState(address=address)})
    (await client.post(f"/training/sessions/{session_id}/cancel")).raise_for_status()
    await studio.picture({"cancelled": PageState(address=address)})


async def picture_older(studio: Studio) -> None:
    """Picture a session that trained and did no more."""
    photos = await asyncio.to_thread(write_samples, studio.media / "long ago", count=8, seed=3)
    session_id = await studio.client.begin(photos, shard_photos=16)
    await ended(studio.client, session_id)
    await make_older(studio.running, studio.client, session_id)
    await studio.picture({"training-only": PageState(address=f"#/sessions/{session_id}")})


if __name__ == "__main__":
    main()
