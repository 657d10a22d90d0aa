"""What axe-core objects to on a page."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Page

_AXE: Final = Path("ui/node_modules/axe-core/axe.min.js").resolve()


async def objections(page: Page) -> list[str]:
    """Each rule that is broken, with the first elements that break it. Fails where axe-core is not installed."""
    assert _AXE.is_file(), "axe-core is not installed: run `make install`"
    await page.evaluate(await asyncio.to_thread(_AXE.read_text))
    found: dict[str, Any] = await page.evaluate("() => axe.run(document)")
    return [f"{one['id']}: {json.dumps([node['html'] for node in one['nodes']][:3])}" for one in found["violations"]]
