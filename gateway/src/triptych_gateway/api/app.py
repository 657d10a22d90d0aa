"""The FastAPI application: endpoints, errors, cross-origin rules and the web page."""

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from triptych_common import tracing
from triptych_gateway.api import request_ids, schemas
from triptych_gateway.api.access.gate import AccessGate, Guard
from triptych_gateway.api.access.rate_limits import RateLimits
from triptych_gateway.api.body_limit import BodyLimit
from triptych_gateway.api.context import ApiContext, Context
from triptych_gateway.api.description import serve_description
from triptych_gateway.api.document import DescribedApi
from triptych_gateway.api.errors import install_error_handlers
from triptych_gateway.api.page import serve_page
from triptych_gateway.api.picture_heads import PictureHeads
from triptych_gateway.api.routes import (
    access,
    audit,
    categories,
    control,
    directories,
    face_sessions,
    faces,
    images,
    jobs,
    persons,
    privacy,
    progress,
    search,
    search_index,
    sessions,
    subdirectories,
)
from triptych_gateway.api.snapshot_shortcut import SnapshotShortcut
from triptych_gateway.api.tracing import TracedRequests

# Whole paths before those with a part that may be anything.
_PARTS = (
    sessions,
    control,
    subdirectories,
    progress,
    jobs,
    categories,
    directories,
    persons,
    face_sessions,
    faces,
    images,
    search,
    search_index,
    privacy,
    access,
    audit,
)


def create_app(context: ApiContext) -> FastAPI:
    """The application over the gateway's parts."""
    app = described_app()
    app.state.context = context
    # What is added later lies further out.
    app.add_middleware(PictureHeads)
    if tracing.is_wanted():
        app.add_middleware(TracedRequests)
    app.add_middleware(BodyLimit)
    app.add_middleware(SnapshotShortcut, snapshots=context.snapshots)
    app.add_middleware(AccessGate, guard=_guard(context), audit_log=context.audit_log)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(context.settings.cors_origins),
        allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
        allow_headers=["content-type", "authorization", "last-event-id", request_ids.HEADER],
        expose_headers=[request_ids.HEADER],
    )
    app.add_middleware(request_ids.RequestIds)
    serve_page(app)
    return app


def _guard(context: ApiContext) -> Guard | None:
    if context.tokens is None:
        return None
    settings = context.settings
    limits = RateLimits(
        requests_per_minute=settings.requests_per_minute, attempts_per_minute=settings.wrong_tokens_per_minute
    )
    return Guard(tokens=context.tokens, limits=limits, issuer=context.issuer)


def described_app() -> FastAPI:
    """The endpoints and their description, with nothing behind them."""
    app = DescribedApi()
    install_error_handlers(app)
    for part in _PARTS:
        app.include_router(part.router)
    serve_description(app)

    @app.get("/health", tags=["health"])
    async def get_health(context: Context) -> schemas.Health:
        """That the gateway answers, and what is behind it."""
        return schemas.Health(status="ok", services=context.health.services)

    return app
