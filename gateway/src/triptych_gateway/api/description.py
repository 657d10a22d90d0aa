"""The page that describes the interface to people: Swagger UI, whose files come from here and not from a CDN."""

from importlib.resources import files
from typing import Final

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

PATH: Final = "/docs"
_FILES: Final = f"{PATH}/files"


def serve_description(app: FastAPI) -> None:
    """Answer `PATH`, and the files that this page needs."""
    app.mount(_FILES, StaticFiles(directory=str(files("fastapi_offline") / "static")))

    @app.get(PATH, include_in_schema=False)
    async def description() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=str(app.openapi_url),
            title=app.title,
            swagger_js_url=f"{_FILES}/swagger-ui-bundle.js",
            swagger_css_url=f"{_FILES}/swagger-ui.css",
            swagger_favicon_url="/favicon.svg",
        )
