"""Forgets progress: what NATS holds is of the catalogue that was, and the aggregator asks for it anew."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import nats
import nats.errors
import nats.js.errors
from nats.js import JetStreamContext

from triptych_common.errors import ConfigurationError
from triptych_common.progress.events import ENDED_BUCKET, SNAPSHOT_BUCKET, STREAM
from triptych_common.progress.permissions import inbox_of

_CONNECT_SECONDS: Final = 5.0
_KEY_VALUE_PREFIX: Final = "KV_"
"""What NATS puts before a bucket's name to name its stream."""


async def require_nobody_following(nats_url: str) -> None:
    """Raise ConfigurationError where an aggregator follows the stream, or NATS does not answer."""
    async with _connected(nats_url) as jetstream:
        try:
            consumers = await jetstream.consumers_info(STREAM)
        except nats.js.errors.NotFoundError:
            return
    if any(consumer.push_bound for consumer in consumers):
        raise ConfigurationError("A progress service still follows NATS: stop every one of them first.")


async def forget_progress(nats_url: str) -> None:
    """Delete the stream and the snapshots; an aggregator makes them again. Raises ConfigurationError."""
    async with _connected(nats_url) as jetstream:
        for name in (STREAM, f"{_KEY_VALUE_PREFIX}{SNAPSHOT_BUCKET}", f"{_KEY_VALUE_PREFIX}{ENDED_BUCKET}"):
            with contextlib.suppress(nats.js.errors.NotFoundError):
                await jetstream.delete_stream(name)


@contextlib.asynccontextmanager
async def _connected(nats_url: str) -> AsyncIterator[JetStreamContext]:
    async def ignore(_error: Exception) -> None:
        """What `connect` raises says it all."""

    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            client = await nats.connect(
                nats_url.split(","),
                inbox_prefix=inbox_of(nats_url),
                allow_reconnect=False,
                max_reconnect_attempts=1,
                error_cb=ignore,
            )
        try:
            yield client.jetstream()
        finally:
            await client.close()
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise ConfigurationError(
            f"NATS does not answer at NATS_URL ({str(error) or type(error).__name__}): "
            "a restored catalogue needs it, to forget the progress of the one before."
        ) from error
