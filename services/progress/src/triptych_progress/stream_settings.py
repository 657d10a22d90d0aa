"""The stream of progress events as its settings want it: made where there is none, reported where it is another."""

from enum import Enum
from typing import Final

import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import StreamInfo

from triptych_common.logging import get_logger
from triptych_common.progress.events import STREAM, StreamLimits, stream_config

log = get_logger(__name__)

_SETTINGS: Final = (
    "subjects",
    "retention",
    "storage",
    "discard",
    "max_age",
    "max_bytes",
    "max_msg_size",
    "duplicate_window",
    "num_replicas",
)


async def ensure_stream(jetstream: JetStreamContext, limits: StreamLimits) -> StreamInfo:
    """Find the stream, or make it. One with other settings is reported and left as it is.

    Raises what the NATS client raises.
    """
    wanted = stream_config(limits)
    try:
        info = await jetstream.stream_info(STREAM)
    except nats.js.errors.NotFoundError:
        info = await jetstream.add_stream(wanted)
        log.info("stream made", stream=STREAM, replicas=wanted.num_replicas)
    for setting in _SETTINGS:
        found = getattr(info.config, setting)
        if found != getattr(wanted, setting):
            log.warning(
                "the stream has another setting than this version would give it; it is left as it is",
                stream=STREAM,
                setting=setting,
                found=_plain(found),
                wanted=_plain(getattr(wanted, setting)),
            )
    return info


def _plain(value: object) -> str:
    """A stream's setting as NATS writes it."""
    return str(value.value if isinstance(value, Enum) else value)
