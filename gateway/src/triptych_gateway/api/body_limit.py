"""Bodies larger than any that is taken are refused before they are read, or as soon as they are found to be."""

from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triptych_gateway.api.errors import answer

MOST_BODY_BYTES: Final = 40 * 2**20
"""Room for the largest picture that can be searched by, and for any list of directories in practice."""
_TOO_LARGE: Final = f"A body may have {MOST_BODY_BYTES:,} bytes."


class BodyLimit:
    """ASGI middleware. Starlette's own answers in plain text where the size is declared."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its body counted, or answer 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > MOST_BODY_BYTES:
            await answer("body_too_large", _TOO_LARGE)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MOST_BODY_BYTES:
                # FastAPI lets only this kind of exception through while it reads a body.
                raise HTTPException(413, _TOO_LARGE)
            return message

        await self._app(scope, counted, send)
