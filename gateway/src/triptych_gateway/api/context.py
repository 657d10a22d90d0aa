"""What every endpoint works with."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncEngine

from triptych_common.media.locations import MediaRoots
from triptych_gateway.api.access.audit_log import AuditLog
from triptych_gateway.api.access.issuer import Issuer
from triptych_gateway.api.access.known_tokens import KnownTokens
from triptych_gateway.api.health_watch import HealthWatch
from triptych_gateway.api.pictures import Pictures
from triptych_gateway.api.snapshots import Snapshots
from triptych_gateway.pipeline.query_embedding import QueryEmbedder
from triptych_gateway.pipeline.scheduler import Scheduler
from triptych_gateway.settings import GatewaySettings


@dataclass(frozen=True, kw_only=True)
class ApiContext:
    """The gateway's parts, as endpoints see them."""

    settings: GatewaySettings
    engine: AsyncEngine
    roots: MediaRoots
    scheduler: Scheduler
    snapshots: Snapshots
    health: HealthWatch
    pictures: Pictures
    queries: QueryEmbedder
    audit_log: AuditLog
    tokens: KnownTokens | None
    """None where no token is asked for."""
    issuer: Issuer | None
    """Whose bearers hold beside ours; None where none is set."""


async def _context(request: Request) -> ApiContext:
    # Not a plain function: that would be called in a thread.
    context: ApiContext = request.app.state.context
    return context


Context = Annotated[ApiContext, Depends(_context)]
"""The context, as an endpoint's parameter."""
