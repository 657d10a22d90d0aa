"""What each part of Triptych may do at NATS: the one source of every server's configuration.

A worker may publish the progress of its own phase and read nothing but answers to itself: one that is taken over tells
nothing about the work of others and learns nothing of it. ``python -m triptych_common.progress.permissions`` writes the
block for a server whose passwords are in variables.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from triptych_common.progress.events import (
    ALL_SUBJECTS,
    ENDED_BUCKET,
    PHASE_NAMES,
    REANNOUNCE_SUBJECT,
    SNAPSHOT_BUCKET,
    STREAM,
)

INBOX: Final = "_INBOX"
"""Before the subjects at which a client waits for answers; each user has its own below it."""
_BUCKETS: Final = (SNAPSHOT_BUCKET, ENDED_BUCKET)
_STREAMS: Final = (STREAM, *(f"KV_{bucket}" for bucket in _BUCKETS))
_PHASES: Final = dict(zip(("embedder", "facedetect", "cluster"), PHASE_NAMES.values(), strict=True))
"""Worker → the phase that it works at."""


@dataclass(frozen=True, kw_only=True)
class Permissions:
    """Of a user of NATS, beside waiting for answers at its own inbox."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...] = ()
    answers: bool = False
    """Whether it may answer what it was asked."""


PERMISSIONS: Final[Mapping[str, Permissions]] = {
    "gateway": Permissions(publish=(ALL_SUBJECTS,), subscribe=(REANNOUNCE_SUBJECT,), answers=True),
    "progress": Permissions(
        publish=(
            REANNOUNCE_SUBJECT,
            "$JS.API.INFO",
            *(
                subject
                for stream in _STREAMS
                for subject in (
                    f"$JS.API.STREAM.*.{stream}",
                    f"$JS.API.STREAM.MSG.GET.{stream}",
                    f"$JS.API.DIRECT.GET.{stream}",
                    f"$JS.API.DIRECT.GET.{stream}.>",
                    f"$JS.API.CONSUMER.*.{stream}",
                    f"$JS.API.CONSUMER.*.{stream}.>",
                    f"$JS.ACK.{stream}.>",
                    f"$JS.FC.{stream}.>",
                )
            ),
            *(f"$KV.{bucket}.>" for bucket in _BUCKETS),
        )
    ),
    **{worker: Permissions(publish=(f"progress.v1.*.{phase}",)) for worker, phase in _PHASES.items()},
    "backup": Permissions(
        publish=(
            *(f"$JS.API.STREAM.DELETE.{stream}" for stream in _STREAMS),
            f"$JS.API.CONSUMER.LIST.{STREAM}",
        )
    ),
}
"""User → what it may do. The users are named as the processes are."""


def inbox_of(url: str) -> bytes:
    """Where a client of a URL, or of a list of URLs, waits for answers: below its user's name, where it has one."""
    user = urlsplit(url.partition(",")[0]).username
    return f"{INBOX}.{user}".encode() if user else INBOX.encode()


def authorization(password_of: Callable[[str], str], *, operators: tuple[str, ...] = ()) -> str:
    """The block ``authorization`` of a NATS server's configuration, with a line for each user.

    ``password_of`` gives a user's password as the configuration has it: quoted, or a variable. Operators may do all.
    """
    lines = [f"    {{ user: {user}, password: {password_of(user)} }}" for user in operators]
    lines += [
        f"    {{ user: {user}, password: {password_of(user)}, permissions: {{ {_rules(user)} }} }}"
        for user in PERMISSIONS
    ]
    return "\n".join(["authorization {", "  timeout: 5", "  users: [", *lines, "  ]", "}", ""])


def _rules(user: str) -> str:
    permissions = PERMISSIONS[user]
    subscribe = (*permissions.subscribe, f"{INBOX}.{user}.>")
    return ", ".join(_rule(permissions, subscribe))


def _rule(permissions: Permissions, subscribe: tuple[str, ...]) -> Iterator[str]:
    # A string in double quotes, so that NATS takes no `$JS` for a variable.
    yield f"publish: {json.dumps(permissions.publish)}"
    yield f"subscribe: {json.dumps(subscribe)}"
    if permissions.answers:
        yield "allow_responses: true"


def password_variable(user: str) -> str:
    """The variable that has a user's password, where the configuration cannot."""
    return f"NATS_PASSWORD_{user.upper()}"


if __name__ == "__main__":
    sys.stdout.write(authorization(lambda user: f"${password_variable(user)}"))
