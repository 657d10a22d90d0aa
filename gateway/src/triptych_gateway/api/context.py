"""What every endpoint works with."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncEngine

from triptych_common.media.locations import MediaRoots
from triptych_gateway.api.health_watch import HealthWatch
from triptych_gateway.api.live_progress import LiveProgress
from triptych_gateway.api.pictures import Pictures
from triptych_gateway.pipeline.scheduler import Scheduler
from triptych_gateway.settings import GatewaySettings


@dataclass(frozen=True, kw_only=True)
class ApiContext:
    """The gateway's parts, as endpoints see them."""

    settings: GatewaySettings
    engine: AsyncEngine
    roots: MediaRoots
    scheduler: Scheduler
    live: LiveProgress
    health: HealthWatch
    pictures: Pictures
    closing: asyncio.Event
    """Set when the gateway is asked to end: streams end by themselves."""


def _context(request: Request) -> ApiContext:
    context: ApiContext = request.app.state.context
    return context


Context = Annotated[ApiContext, Depends(_context)]
"""The context, as an endpoint's parameter."""
