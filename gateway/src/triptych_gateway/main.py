"""The gateway's process: settings, wiring, signals."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final, NoReturn

from fastapi import FastAPI

from triptych_common.channels import ReplicaPool
from triptych_common.logging import get_logger
from triptych_common.media.locations import MediaRoots
from triptych_common.process import run_process
from triptych_gateway.api.app import create_app
from triptych_gateway.api.context import ApiContext
from triptych_gateway.api.health_watch import HealthWatch
from triptych_gateway.api.live_progress import LiveProgress
from triptych_gateway.api.pictures import Pictures
from triptych_gateway.catalog.database import create_engine, migrate
from triptych_gateway.http_server import serve
from triptych_gateway.pipeline.outbox_relay import OutboxRelay
from triptych_gateway.pipeline.photo_services import EmbedderService, FaceDetectorService, PhotoService
from triptych_gateway.pipeline.scheduler import Scheduler
from triptych_gateway.settings import GatewaySettings

log = get_logger(__name__)

_PRIME_SECONDS: Final = 3.0
"""How long the first request waits for the progress service."""
EXIT_FAILED: Final = 1
"""Exit status where a part of the gateway failed."""
_REQUEST_SECONDS: Final = 5.0
"""How long a request waits for the database before it is answered 503."""


async def run(settings: GatewaySettings) -> None:
    """Serve and run sessions until signalled."""
    await migrate(settings.database_url)
    async with AsyncExitStack() as stack:
        context, background = await _wire(settings, stack)
        app = create_app(context)
        app.router.lifespan_context = _lifespan(background)
        await serve(app, settings, closing=context.closing)
    if background.has_failed:
        raise SystemExit(EXIT_FAILED)


class _Background:
    """What works beside the endpoints: its failure ends the process, its end is awaited."""

    def __init__(self, scheduler: Scheduler, live: LiveProgress, health: HealthWatch, relay: OutboxRelay) -> None:
        self._live = live
        self._parts = {
            "scheduler": scheduler.run,
            "progress watch": live.run,
            "health watch": health.run,
            "outbox relay": relay.run,
        }
        self._tasks: list[asyncio.Task[None]] = []
        self.has_failed = False

    async def start(self) -> None:
        await self._live.prime(seconds=_PRIME_SECONDS)
        for name, part in self._parts.items():
            task = asyncio.create_task(part(), name=name)
            task.add_done_callback(self._on_end)
            self._tasks.append(task)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.has_failed = True
            log.critical(
                "a part of the gateway failed; the process ends", part=task.get_name(), exc_info=task.exception()
            )
            # The server turns the signal into an orderly end.
            os.kill(os.getpid(), signal.SIGTERM)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


async def _wire(settings: GatewaySettings, stack: AsyncExitStack) -> tuple[ApiContext, _Background]:
    engine = create_engine(settings.database_url)
    stack.push_async_callback(engine.dispose)
    # Requests have connections of their own and little patience: sessions at work never keep a page waiting.
    api_engine = create_engine(
        settings.database_url, statement_seconds=_REQUEST_SECONDS, connect_seconds=_REQUEST_SECONDS
    )
    stack.push_async_callback(api_engine.dispose)
    roots = MediaRoots(settings.media_roots)
    pools = {
        name: await stack.enter_async_context(ReplicaPool(addresses, service=name))
        for name, addresses in {
            "embedder": settings.embedder_addresses,
            "facedetect": settings.facedetect_addresses,
            "cluster": settings.cluster_addresses,
            "progress": settings.progress_addresses,
        }.items()
    }
    embedder, detector = EmbedderService(pools["embedder"]), FaceDetectorService(pools["facedetect"])
    photo_services: dict[str, PhotoService] = {"training": embedder, "face_detection": detector}
    scheduler = Scheduler(
        engine,
        roots=roots,
        photo_services=photo_services,
        clusterers=pools["cluster"],
        max_sessions=settings.max_concurrent_sessions,
    )
    live = LiveProgress(pools["progress"])
    health = HealthWatch(
        photo_services={"embedder": embedder, "facedetect": detector},
        others={"cluster": pools["cluster"], "progress": pools["progress"]},
    )
    pictures = Pictures(
        roots=roots,
        cache=settings.data_dir / "cache",
        max_bytes=settings.max_image_bytes,
        max_pixels=settings.max_image_pixels,
    )
    stack.callback(pictures.close)
    context = ApiContext(
        settings=settings,
        engine=api_engine,
        roots=roots,
        scheduler=scheduler,
        live=live,
        health=health,
        pictures=pictures,
        closing=asyncio.Event(),
    )
    return context, _Background(scheduler, live, health, OutboxRelay(engine, nats_url=settings.nats_url))


def _lifespan(background: _Background) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await background.start()
        try:
            yield
        finally:
            await background.stop()

    return lifespan


def main() -> NoReturn:
    """Run the gateway: the console script ``triptych-gateway``."""
    run_process("gateway", GatewaySettings, run)
