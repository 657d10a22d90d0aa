"""Debian's Chromium and Firefox: no browser of Playwright's own is downloaded."""

import shutil
from typing import Final

import pytest
from playwright.async_api import Browser, Playwright

_CHROMIUM_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_CHROMIUM_ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_FIREFOX_NAMES: Final = ("firefox-esr", "firefox")
_BIDI: Final = "moz-firefox"
"""Has Playwright speak WebDriver BiDi, which every Firefox does, in place of what only its own patched Firefox does."""


async def launch_chromium(playwright: Playwright) -> Browser:
    """Start it without a window. Fails the test where it is not installed."""
    return await playwright.chromium.launch(executable_path=_find(_CHROMIUM_NAMES), args=_CHROMIUM_ARGUMENTS)


async def launch_firefox(playwright: Playwright) -> Browser:
    """Start it without a window. Fails the test where it is not installed."""
    return await playwright.firefox.launch(channel=_BIDI, executable_path=_find(_FIREFOX_NAMES))


def _find(names: tuple[str, ...]) -> str:
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        pytest.fail(f"{names[0]} is not installed: run `make browser` (as root), or install it.")
    return program
