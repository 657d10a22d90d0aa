"""A gateway that asks for tokens, beside the one of a stack that runs."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tests.support.running_gateway import Gateway, running_gateway
from tests.support.running_triptych import Triptych


@contextlib.contextmanager
def guarded_gateway(running: Triptych, folder: Path) -> Iterator[Gateway]:
    """Start it over the stack's servers and services, and end it."""
    record = running.record()
    settings = {f"TRIPTYCH_{name.upper()}_ADDRESSES": address for name, address in record.addresses.items()}
    settings["TRIPTYCH_SERVICE_TOKEN"] = record.service_token
    settings["TRIPTYCH_MEDIA_ROOTS"] = os.pathsep.join(record.media_roots)
    with running_gateway(
        database_url=record.database_url, nats_url=record.nats_url, folder=folder, TRIPTYCH_ACCESS="tokens", **settings
    ) as gateway:
        yield gateway
