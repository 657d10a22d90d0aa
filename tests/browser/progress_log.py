"""What a reader sees of the overall progress, every change of it, collected in the page itself."""

from dataclasses import dataclass
from typing import Any

from playwright.async_api import Page

_COLLECT = """
() => {
    const section = document.querySelector('section[aria-label="Overall progress"]');
    window.seen = [];
    const look = () => window.seen.push([
        Number(section.querySelector('[role=progressbar]').getAttribute('aria-valuenow')),
        section.querySelector('.now').textContent.trim(),
        section.querySelector('.times').textContent.trim(),
    ]);
    look();
    const everything = {subtree: true, childList: true, characterData: true, attributes: true};
    new MutationObserver(look).observe(section, everything);
}
"""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was on the page, in order."""

    percentages: list[float]
    headlines: list[str]
    """Each once, as it came."""
    times: list[str]
    """What was said of the time that is left, each once, as it came."""


async def collect(page: Page) -> None:
    """Begin; the page must show a session's progress."""
    await page.locator('section[aria-label="Overall progress"]').wait_for()
    await page.evaluate(_COLLECT)


async def collected(page: Page) -> Seen:
    """What was seen since `collect`."""
    changes: list[Any] = await page.evaluate("() => window.seen")
    return Seen(
        percentages=[percentage for percentage, _, _ in changes],
        headlines=_changes([headline for _, headline, _ in changes]),
        times=_changes([times for _, _, times in changes]),
    )


def _changes(told: list[str]) -> list[str]:
    return [text for index, text in enumerate(told) if index == 0 or told[index - 1] != text]
