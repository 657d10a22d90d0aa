"""Ids by which the lines of several processes' logs are known to belong together: of a request, and of a run's shard.

Whoever begins something binds them, every line that is logged within has them, and they go with gRPC calls as metadata.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog

REQUEST_ID: Final = "request_id"
_IDS: Final = (REQUEST_ID, "session", "phase", "run", "shard")
_PREFIX: Final = "triptych-"
_VALUE: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
"""What an id may look like: it goes into headers and logs as it is."""


def is_id(text: str) -> bool:
    """Whether a text may be an id; what somebody else has sent need not be one."""
    return _VALUE.fullmatch(text) is not None


@contextmanager
def correlated(**ids: str | int) -> Iterator[None]:
    """Have every line that is logged in this context, and every call that is made in it, carry these ids.

    Raises ValueError for one that is not among request_id, session, phase, run and shard.
    """
    if unknown := ids.keys() - set(_IDS):
        raise ValueError(f"not an id that goes with calls: {', '.join(sorted(unknown))}")
    with structlog.contextvars.bound_contextvars(**ids):
        yield


def correlation_metadata() -> tuple[tuple[str, str], ...]:
    """The ids of what is being done, as metadata of a gRPC call."""
    bound = structlog.contextvars.get_contextvars()
    return tuple((f"{_PREFIX}{name.replace('_', '-')}", str(bound[name])) for name in _IDS if name in bound)


def caller_ids(metadata: Iterable[Any] | None) -> dict[str, str]:
    """The ids that came with a gRPC call; what is none is left out."""
    sent = {str(key): str(value) for key, value in metadata or ()}
    headers = {name: f"{_PREFIX}{name.replace('_', '-')}" for name in _IDS}
    return {name: sent[header] for name, header in headers.items() if header in sent and is_id(sent[header])}
