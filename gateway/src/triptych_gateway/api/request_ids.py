"""An id for every request: the caller's `X-Request-ID` or a new one, in every line of the log and in the answer."""

import uuid
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triptych_common.correlation import REQUEST_ID, correlated, is_id

HEADER: Final = "x-request-id"
IN_SCOPE: Final = "triptych.request_id"
"""Where the id is left for whoever handles the request."""


class RequestIds:
    """ASGI middleware; what lies behind it logs with the id, and sends it along with gRPC calls."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; an id that could not stand in a log as it is is replaced."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = Headers(scope=scope).get(HEADER, "")
        request_id = sent if is_id(sent) else uuid.uuid4().hex

        async def identified(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with correlated(**{REQUEST_ID: request_id}):
            await self._app({**scope, IN_SCOPE: request_id}, receive, identified)
