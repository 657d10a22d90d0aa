"""Where the gateway asks for a token: logging in and out, also on a page that the development server serves."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from playwright.async_api import Page, expect

from tests.browser.axe import objections
from tests.browser.conftest import SCHEMES, Reader
from tests.browser.guarded_gateway import guarded_gateway
from tests.support.access import make_token
from tests.support.ports import free_port
from tests.support.running_gateway import Gateway
from tests.support.running_triptych import Triptych, end, wait_until
from triptych_gateway.cli.plain_http import NO_AUTHORITIES

UI: Final = Path("ui").resolve()
START_SECONDS: Final = 60.0


@pytest.fixture(scope="module")
def guarded(running: Triptych, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with guarded_gateway(running, tmp_path_factory.mktemp("guarded")) as gateway:
        yield gateway


@contextlib.contextmanager
def development_server(gateway: Gateway, log: Path) -> Iterator[str]:
    """`npm run dev` before a gateway; its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ("npm", "run", "dev", "--", "--port", str(port), "--strictPort"),
            cwd=UI,
            env={**os.environ, "TRIPTYCH_GATEWAY_URL": gateway.url},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: answers(url), seconds=START_SECONDS, what=log.read_text)
        yield url
    finally:
        # npm does not pass every signal on: all that it started gets it.
        os.killpg(process.pid, signal.SIGTERM)
        end(process, signal.SIGTERM)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, verify=NO_AUTHORITIES, trust_env=False).is_success
    except httpx.TransportError:
        return False


async def log_in(page: Page, token: str) -> None:
    await page.get_by_label("Token").fill(token)
    await page.get_by_role("button", name="Log in").click()


async def test_a_reader_logs_in_sees_everything_and_logs_out(reader: Reader, guarded: Gateway, session_id: int) -> None:
    page = reader.page
    await page.goto(f"{guarded.url}/#/sessions/{session_id}")
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    await log_in(page, "not-a-token")
    await expect(page.get_by_role("alert")).to_contain_text("not known")
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        assert await objections(page) == [], scheme
    await log_in(page, await make_token(guarded.database_url, "read"))
    await expect(page.get_by_text("✓ All Phases Complete")).to_be_visible()
    picture = page.get_by_role("list", name="Faces of").first.locator("img").first
    assert await picture.evaluate("async (image) => (await image.decode(), image.naturalWidth)") > 0

    await page.reload()
    await page.get_by_text("Do again…").click()
    await page.get_by_role("button", name="Group faces again").click()
    await page.get_by_role("alertdialog").get_by_role("button", name="Group faces again").click()
    await expect(page.get_by_role("alert")).to_contain_text("this needs control")

    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()


async def test_the_development_server_has_the_page_and_passes_all_that_it_asks_to_the_gateway(
    reader: Reader, running: Triptych, guarded: Gateway, session_id: int, tmp_path: Path
) -> None:
    page = reader.page
    with development_server(guarded, tmp_path / "vite.log") as url:
        await page.goto(f"{url}/#/sessions/{session_id}")
        await log_in(page, await make_token(guarded.database_url, "control"))
        await expect(page.get_by_text("✓ All Phases Complete")).to_be_visible()
        await page.get_by_text("Do again…").click()
        await page.get_by_role("button", name="Group faces again").click()
        with running.held("cluster"):
            await page.get_by_role("alertdialog").get_by_role("button", name="Group faces again").click()
            await expect(page.get_by_text("🔗 Clustering – Grouping Similar Faces")).to_be_visible()
        await expect(page.get_by_text("✓ All Phases Complete")).to_be_visible()
        # Of the development server, so that it is not asked for once it is gone.
        await page.goto("about:blank")
