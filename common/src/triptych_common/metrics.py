"""Metrics of a process for Prometheus, served over HTTP where a setting says so."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, start_http_server
from prometheus_client.registry import Collector

from triptych_common.errors import ConfigurationError
from triptych_common.logging import get_logger

log = get_logger(__name__)

_SCRAPE_SECONDS: Final = 10.0


class LoopRegistry(CollectorRegistry):
    """A registry whose metrics are collected on the event loop, where their values change; scrapes run in threads."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()

    def collect(self) -> Iterable[Metric]:
        """All metrics as they are now; call it from another thread than the loop's. Raises TimeoutError."""
        return asyncio.run_coroutine_threadsafe(self._collect_here(), self._loop).result(_SCRAPE_SECONDS)

    async def _collect_here(self) -> list[Metric]:
        return list(super().collect())


@asynccontextmanager
async def serving_metrics(listen: str, *, collectors: Sequence[Collector]) -> AsyncIterator[None]:
    """Serve metrics at ``listen``, host:port, as long as the context lasts; nothing where it is empty.

    Raises ConfigurationError where the address cannot be had.
    """
    if not listen:
        yield
        return
    registry = LoopRegistry()
    ProcessCollector(registry=registry)
    for collector in collectors:
        registry.register(collector)
    host, _, port = listen.rpartition(":")
    try:
        server, thread = start_http_server(int(port), addr=host.strip("[]"), registry=registry)
    except (OSError, ValueError, OverflowError) as error:
        raise ConfigurationError(
            f"Metrics cannot be served at {listen}: {error}. Set TRIPTYCH_METRICS_LISTEN to a free host:port."
        ) from error
    log.info("metrics", address=listen)
    try:
        yield
    finally:
        # A scrape that is under way needs the loop.
        await asyncio.to_thread(server.shutdown)
        await asyncio.to_thread(thread.join)
        server.server_close()
