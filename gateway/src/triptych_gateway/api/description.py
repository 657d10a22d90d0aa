"""The page that describes the interface to people: Swagger UI, whose files come from here and not from a CDN."""

from importlib.resources import files
from typing import Final

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, HTMLResponse

PATH: Final = "/docs"
_SCRIPT: Final = "swagger-ui-bundle.js"
_STYLE: Final = "swagger-ui.css"


def serve_description(app: FastAPI) -> None:
    """Answer `PATH`, and the files that this page needs."""
    directory = files("fastapi_offline") / "static"

    @app.get(f"{PATH}/{_SCRIPT}", include_in_schema=False)
    async def script() -> FileResponse:
        return FileResponse(str(directory / _SCRIPT))

    @app.get(f"{PATH}/{_STYLE}", include_in_schema=False)
    async def style() -> FileResponse:
        return FileResponse(str(directory / _STYLE))

    @app.get(PATH, include_in_schema=False)
    async def description() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=str(app.openapi_url),
            title=app.title,
            swagger_js_url=f"{PATH}/{_SCRIPT}",
            swagger_css_url=f"{PATH}/{_STYLE}",
            swagger_favicon_url="/favicon.svg",
        )
