"""Serves the application over HTTP until a signal, and ends in order with streams open."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from triptych_common.errors import ConfigurationError
from triptych_common.logging import get_logger
from triptych_gateway.settings import GatewaySettings

log = get_logger(__name__)

_SHUTDOWN_SECONDS: Final = 5
"""How long open connections may last after SIGTERM."""


class _Server(uvicorn.Server):
    """Tells open streams of a signal to end, so that they close by themselves."""

    def __init__(self, config: uvicorn.Config, *, on_closing: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_closing = on_closing

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._on_closing()
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals in the event loop.

        uvicorn's own handlers send the signal once more when it has served, which would end the process before
        connections are given back and with another status than 0.
        """
        numbers = (signal.SIGTERM, signal.SIGINT)
        loop = asyncio.get_running_loop()
        for number in numbers:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


async def serve(app: FastAPI, settings: GatewaySettings, *, on_closing: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, which calls ``on_closing``. Raises ConfigurationError for an address in use."""
    config = uvicorn.Config(
        app,
        host=settings.http_host,
        port=settings.http_port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = _Server(config, on_closing=on_closing)
    listening = _listen(settings)
    log.info("serving", address=f"http://{settings.http_host}:{listening.getsockname()[1]}")
    with contextlib.closing(listening):
        await server.serve(sockets=[listening])
    log.info("stopped")


def _listen(settings: GatewaySettings) -> socket.socket:
    """The listening socket. Raises ConfigurationError where the address is taken."""
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.http_host, settings.http_port))
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"{settings.http_host}:{settings.http_port} cannot be listened on ({error.strerror}): another process may "
            "hold it. Set TRIPTYCH_HTTP_PORT."
        ) from error
    return listening
