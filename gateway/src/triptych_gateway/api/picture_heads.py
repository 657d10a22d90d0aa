"""HEAD for pictures: answered as GET is, without the picture."""

import re
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PICTURES: Final = re.compile(
    r"/api/v1/(images/[^/]+/(thumbnail|full)|faces/[^/]+/crop|training/directories/preview/thumbnail)"
)


def is_picture(path: str) -> bool:
    """Whether what is answered at a path is a picture."""
    return _PICTURES.fullmatch(path) is not None


class PictureHeads:
    """ASGI middleware (RFC 9110, 9.3.2). FastAPI answers no HEAD by itself, and of a stream there is no head to ask."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; HEAD of a picture as a GET whose answer's body is left out."""
        if scope["type"] == "http" and scope["method"] == "HEAD" and is_picture(scope["path"]):
            await self._app({**scope, "method": "GET"}, receive, _without_body(send))
        else:
            await self._app(scope, receive, send)


def _without_body(send: Send) -> Send:
    async def sent(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return sent
