"""What is known of a running stack, in one file for the command line, for tests, and for the next stack."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from triptych_gateway.cli.stack.data_directory import DataDirectory, write_private


@dataclass(frozen=True, kw_only=True)
class ProcessRecord:
    """A child process. The pair of both fields is unique: process ids are used again."""

    process_id: int
    created_at_seconds: float
    """When it was created, in seconds since 1970, as psutil gives it."""


@dataclass(frozen=True, kw_only=True)
class StackRecord:
    """The stack that holds, or held, a data directory."""

    process_id: int
    http_url: str
    nats_url: str
    """Holds a password."""
    database_url: str
    """Holds a password."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """host:port of each gRPC service, by name."""
    service_token: str = ""
    """What they are shown before they answer; empty in a record of an earlier version."""
    media_roots: tuple[str, ...] = ()
    processes: Mapping[str, ProcessRecord] = field(default_factory=dict)
    """Each child that has been started, by name."""

    def write(self, path: Path) -> None:
        """Replaces the file at once, readable to its owner only.

        Raises:
            OSError: it cannot be written.
        """
        write_private(path, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "StackRecord | None":
        """The record at `path`; None when there is none, it is damaged, or another version wrote it in another layout.

        Raises:
            OSError: it is there but may not be read.
        """
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            fields["media_roots"] = tuple(fields["media_roots"])
            fields["processes"] = {name: ProcessRecord(**of) for name, of in fields["processes"].items()}
            return cls(**fields)
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None


def running_stack(data_directory: DataDirectory) -> StackRecord | None:
    """The stack that runs on `data_directory` now; None when none does, or it has not yet come up.

    Raises:
        OSError: the directory belongs to another user.
    """
    holder = data_directory.holder()
    record = StackRecord.read(data_directory.record)
    return record if record is not None and record.process_id == holder else None
