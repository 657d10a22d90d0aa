"""The web page: static files, with what its browser is told not to do."""

import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_NO_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Triptych</title>
<p>The web page is not built yet: run <code>make ui</code>. The interface is described at <a href="/docs">/docs</a>."""

_SOURCES: Final = {
    "default-src": "'none'",
    "script-src": "'self'",
    # Transitions are style sheets that the page makes as they are needed.
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
PAGE_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "; ".join(f"{what} {whence}" for what, whence in _SOURCES.items()),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Scripts come from the gateway alone, nothing is sent anywhere else, and no other page may frame this one."""


class Page(StaticFiles):
    """The files of the built page."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file with `PAGE_HEADERS`; raises HTTPException where there is none."""
        response = await super().get_response(path, scope)
        response.headers.update(PAGE_HEADERS)
        return response


def serve_page(app: FastAPI) -> None:
    """Answer with the page whatever is not of the interface; with a sentence where it is not built."""
    built = Path(str(files("triptych_gateway"))) / "ui"
    if (built / "index.html").is_file():
        # Not a mount: that would answer for every path of the interface that is asked for by a wrong method.
        app.router.default = Page(directory=os.fspath(built), html=True)
        return

    @app.get("/", include_in_schema=False)
    async def no_page() -> HTMLResponse:
        return HTMLResponse(_NO_PAGE)
