"""NATS, and progress services that are started on it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.nats_server import NatsServer
from tests.support.progress_process import Stack


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    running = Stack(nats=NatsServer(folder=tmp_path), folder=tmp_path)
    await running.nats.start()
    try:
        yield running
        for service in running.services:
            trouble = [
                word for word in ("Traceback", "ResourceWarning", "never retrieved") if word in service.log.read_text()
            ]
            assert not trouble, service.log.read_text()
    finally:
        for client in running.clients:
            await client.close()
        for service in running.services:
            await service.channel.close()
            service.kill()
        running.nats.kill()
