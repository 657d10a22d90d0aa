"""A span for each request to the interface, under its endpoint's path: never a query, which may hold names."""

from typing import Any, Final

from opentelemetry.trace import SpanKind, Status, StatusCode
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triptych_common.tracing import span
from triptych_common.tracing.carrying import TRACEPARENT

_TRACED: Final = "/api/"
_STREAM: Final = "/stream"
"""How the paths of streams end, which last for as long as somebody looks."""
_SERVER_ERROR: Final = 500


class TracedRequests:
    """ASGI middleware; a request that brings a trace context becomes a part of that trace."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note how it was answered."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith(_TRACED) or path.endswith(_STREAM):
            await self._app(scope, receive, send)
            return
        parent = Headers(scope=scope).get(TRACEPARENT, "")
        with span(scope["method"], parent=parent, kind=SpanKind.SERVER) as one:

            async def note(message: Message) -> None:
                if message["type"] == "http.response.start":
                    one.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= _SERVER_ERROR:
                        one.set_status(Status(StatusCode.ERROR))
                await send(message)

            try:
                await self._app(scope, receive, note)
            finally:
                # The router knows it only now.
                route: Any = scope.get("route")
                template = getattr(route, "path", "")
                one.update_name(f"{scope['method']} {template}".strip())
                one.set_attribute("http.request.method", scope["method"])
                if template:
                    one.set_attribute("http.route", template)
