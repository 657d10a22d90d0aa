"""Debian's Chromium: no browser of Playwright's own is downloaded."""

import shutil
from typing import Final

import pytest
from playwright.async_api import Browser, BrowserType

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


async def launch(chromium: BrowserType, *, arguments: tuple[str, ...] = ()) -> Browser:
    """Start it without a window. Fails the test where it is not installed."""
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.fail("Chromium is not installed: run `make browser` (as root), or install it.")
    return await chromium.launch(executable_path=program, args=[*_ARGUMENTS, *arguments])
