"""The gateway's process: settings, wiring, signals."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final, NoReturn

import uvloop
from fastapi import FastAPI

from triptych_common.logging import get_logger
from triptych_common.media.decoders.limits import DecoderLimits
from triptych_common.media.decoders.metrics import DecoderMetrics
from triptych_common.media.decoders.pool import Decoders
from triptych_common.media.locations import MediaRoots
from triptych_common.metrics import serving_metrics
from triptych_common.process import run_process
from triptych_common.rpc.channels import ReplicaPool
from triptych_gateway.api.access.audit_log import AuditLog
from triptych_gateway.api.access.issuer import Issuer
from triptych_gateway.api.access.known_tokens import KnownTokens
from triptych_gateway.api.app import create_app
from triptych_gateway.api.catalog_watch import CatalogWatch
from triptych_gateway.api.context import ApiContext
from triptych_gateway.api.health_watch import HealthWatch
from triptych_gateway.api.live_progress import LiveProgress
from triptych_gateway.api.picture_cache import PictureCache
from triptych_gateway.api.picture_forgetting import PictureForgetting
from triptych_gateway.api.pictures import PICTURE_THREADS, Pictures
from triptych_gateway.api.snapshots import Snapshots
from triptych_gateway.catalog.database import create_engine, migrate
from triptych_gateway.catalog.privacy.retention import KeptFor
from triptych_gateway.http_server import serve
from triptych_gateway.pipeline.forgetting import STATEMENT_SECONDS, Forgetter
from triptych_gateway.pipeline.metrics import PipelineMetrics
from triptych_gateway.pipeline.outbox_relay import OutboxRelay
from triptych_gateway.pipeline.photos.photo_services import EmbedderService, FaceDetectorService, PhotoService
from triptych_gateway.pipeline.query_embedding import QueryEmbedder
from triptych_gateway.pipeline.reannouncing import Reannouncer
from triptych_gateway.pipeline.scheduler import Scheduler
from triptych_gateway.pipeline.search_upkeep import BUILD_STATEMENT_SECONDS, SearchUpkeep
from triptych_gateway.settings import GatewaySettings

log = get_logger(__name__)

_PRIME_SECONDS: Final = 3.0
"""How long the first request waits for the progress service."""
_CANCEL_AGAIN_SECONDS: Final = 0.5
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
        await serve(app, settings, on_closing=context.snapshots.close)
    if background.has_failed:
        raise SystemExit(EXIT_FAILED)


class _Background:
    """What works beside the endpoints: its failure ends the process, its end is awaited."""

    def __init__(
        self, parts: Mapping[str, Callable[[], Awaitable[None]]], *, first: Sequence[Callable[[], Awaitable[None]]]
    ) -> None:
        self._parts = parts
        self._first = first
        self._tasks: list[asyncio.Future[None]] = []
        self.has_failed = False

    async def start(self) -> None:
        """Do what is to be done before the first request is answered, then set all parts going."""
        for step in self._first:
            await step()
        for name, part in self._parts.items():
            task = asyncio.ensure_future(part())
            task.set_name(name)
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
        """End all parts, and wait until they have ended."""
        while going := [task for task in self._tasks if not task.done()]:
            # More than once: the NATS client may swallow a cancellation that meets an answer.
            for task in going:
                task.cancel()
            await asyncio.wait(going, timeout=_CANCEL_AGAIN_SECONDS)


async def _wire(settings: GatewaySettings, stack: AsyncExitStack) -> tuple[ApiContext, _Background]:
    engine = create_engine(settings.database_url)
    stack.push_async_callback(engine.dispose)
    decoders = Decoders(DecoderLimits.of(settings, processes=PICTURE_THREADS))
    stack.callback(decoders.close)
    decoders.start()
    # Requests have connections of their own and little patience: sessions at work never keep a page waiting.
    api_engine = create_engine(
        settings.database_url, statement_seconds=_REQUEST_SECONDS, connect_seconds=_REQUEST_SECONDS
    )
    stack.push_async_callback(api_engine.dispose)
    # Builds an index in one statement, and asks how far it is.
    search_engine = create_engine(settings.database_url, pool_size=1, statement_seconds=BUILD_STATEMENT_SECONDS)
    stack.push_async_callback(search_engine.dispose)
    privacy_engine = create_engine(settings.database_url, pool_size=1, statement_seconds=STATEMENT_SECONDS)
    stack.push_async_callback(privacy_engine.dispose)
    roots = MediaRoots(settings.media_roots, settings.store_access)
    pools = {
        name: await stack.enter_async_context(ReplicaPool(addresses, service=name, token=settings.shared_token))
        for name, addresses in {
            "embedder": settings.embedder_addresses,
            "facedetect": settings.facedetect_addresses,
            "cluster": settings.cluster_addresses,
            "progress": settings.progress_addresses,
        }.items()
    }
    embedder, detector = EmbedderService(pools["embedder"]), FaceDetectorService(pools["facedetect"])
    photo_services: dict[str, PhotoService] = {"training": embedder, "face_detection": detector}
    collectors = [PipelineMetrics({"embedder": embedder, "facedetect": detector}), DecoderMetrics(lambda: decoders)]
    await stack.enter_async_context(serving_metrics(settings.metrics_listen, collectors=collectors))
    scheduler = Scheduler(
        engine,
        roots=roots,
        photo_services=photo_services,
        clusterers=pools["cluster"],
        max_sessions=settings.max_concurrent_sessions,
        weighting=settings.weighting,
    )
    live = LiveProgress(pools["progress"])
    health = HealthWatch(
        photo_services={"embedder": embedder, "facedetect": detector},
        others={"cluster": pools["cluster"], "progress": pools["progress"]},
    )
    catalog = CatalogWatch(api_engine, counts_needed=lambda: live.is_stale)
    snapshots = Snapshots(catalog=catalog, live=live, health=health)
    cache = PictureCache(settings.data_dir / "cache", most_bytes=settings.picture_cache_bytes)
    pictures = Pictures(
        roots=roots,
        decode=decoders.decode,
        cache=cache,
        max_bytes=settings.max_image_bytes,
        max_pixels=settings.max_image_pixels,
    )
    stack.callback(pictures.close)
    await asyncio.to_thread(decoders.until_ready)
    issuer = _issuer(settings)
    if issuer is not None:
        await stack.enter_async_context(issuer)
    context = ApiContext(
        settings=settings,
        engine=api_engine,
        roots=roots,
        scheduler=scheduler,
        snapshots=snapshots,
        health=health,
        pictures=pictures,
        queries=QueryEmbedder(pools["embedder"]),
        audit_log=AuditLog(api_engine, keep_days=settings.audit_keep_days),
        tokens=KnownTokens(api_engine) if settings.asks_for_tokens else None,
        issuer=issuer,
    )
    reannouncer = Reannouncer(engine)
    relay = OutboxRelay(engine, nats_url=settings.nats_url, reannouncer=reannouncer)
    upkeep = SearchUpkeep(
        search_engine, exact_below=settings.search_exact_below, build_memory_bytes=settings.search_build_memory_bytes
    )
    parts = {
        "scheduler": scheduler.run,
        "progress watch": live.run,
        "catalogue watch": catalog.run,
        "snapshots": snapshots.run,
        "health watch": health.run,
        "outbox relay": relay.run,
        "announcing again": reannouncer.run,
        "search upkeep": upkeep.run,
        "audit log": context.audit_log.run,
        "forgetting": Forgetter(privacy_engine, kept_for=_kept_for(settings)).run,
        "kept pictures": PictureForgetting(api_engine, cache, keep_days=settings.picture_keep_days).run,
    }
    if context.tokens is not None:
        parts["tokens"] = context.tokens.run
    return context, _Background(parts, first=(lambda: live.prime(seconds=_PRIME_SECONDS), catalog.prime))


def _issuer(settings: GatewaySettings) -> Issuer | None:
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return None
    return Issuer(
        url=settings.oidc_issuer,
        audience=settings.oidc_audience,
        keys_url=settings.oidc_jwks_url,
        algorithms=settings.oidc_algorithms,
        claim=settings.oidc_scope_claim,
        prefix=settings.oidc_scope_prefix,
    )


def _kept_for(settings: GatewaySettings) -> KeptFor:
    return KeptFor(
        run_details_days=settings.run_details_keep_days,
        missing_photos_days=settings.missing_photos_keep_days,
        forgettings_days=settings.audit_keep_days,
    )


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
    run_process("gateway", GatewaySettings, run, new_loop=uvloop.new_event_loop)
