"""What a backup is: a directory with a dump of the catalogue, a manifest, and the checksums of both."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from triptych_common.errors import ConfigurationError

DUMP: Final = "catalogue.dump"
"""The catalogue, in pg_dump's custom format."""
MANIFEST: Final = "manifest.json"
MODELS: Final = "models.json"
"""The models that `triptych models use` has chosen; there where something was chosen."""
CHECKSUMS: Final = "SHA256SUMS"
"""As `sha256sum --check` reads it. Written last: a backup without it is not whole."""
NAME_FORMAT: Final = "triptych-%Y%m%dT%H%M%SZ"
_NAMES: Final = "triptych-*Z"
_READ_BYTES: Final = 2**20


class Counts(BaseModel):
    """Rows of the catalogue when it was dumped."""

    model_config = ConfigDict(frozen=True)

    sessions: int
    photos: int
    faces: int
    persons: int
    named_persons: int


class Manifest(BaseModel):
    """What a backup says of itself."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    """Of the directory; another one is of another version of Triptych."""
    created_at: datetime
    version: str
    """Of Triptych."""
    schema_revision: str
    """Of the catalogue's tables, as Alembic names it."""
    postgres_major: int
    """Major version of the server; one of an older version may not take the dump."""
    counts: Counts
    embedding_models: tuple[str, ...]
    """Models whose vectors are there."""
    settings: dict[str, str]
    """Variables that decide what results are, as they were set; for a person to read, and never applied."""


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A backup whose manifest could be read; only `check` tells whether it is undamaged."""

    path: Path
    manifest: Manifest

    @property
    def dump(self) -> Path:
        """The dump of the catalogue."""
        return self.path / DUMP

    @property
    def size_bytes(self) -> int:
        """Of all its files."""
        return sum(entry.stat().st_size for entry in self.path.iterdir() if entry.is_file())

    def check(self) -> None:
        """Read every byte. Raises ConfigurationError where a file is missing or is not what was written."""
        listed = _listed_checksums(self.path)
        missing = {DUMP, MANIFEST} - listed.keys()
        if missing:
            raise _damaged(self.path, f"{CHECKSUMS} does not name {', '.join(sorted(missing))}")
        for name, expected in listed.items():
            try:
                found = sha256_of(self.path / name)
            except OSError as error:
                raise _damaged(self.path, f"{name} cannot be read ({error.strerror})") from error
            if found != expected:
                raise _damaged(self.path, f"{name} is not what was written")


def read_backup(path: Path) -> Backup:
    """The backup in a directory. Raises ConfigurationError where there is none, or none that this version reads."""
    try:
        content = (path / MANIFEST).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} is no backup: {MANIFEST} cannot be read ({error.strerror}).") from error
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        if any(one["loc"] == ("format",) for one in error.errors()):
            raise ConfigurationError(
                f"The backup {path} has another format: restore it with the version of Triptych that made it, or later."
            ) from error
        raise _damaged(path, f"{MANIFEST} cannot be read") from error
    return Backup(path=path, manifest=manifest)


def list_backups(directory: Path) -> Iterator[Backup]:
    """The whole backups in a directory, oldest first. Raises ConfigurationError for one that cannot be read."""
    for path in sorted(directory.glob(_NAMES)):
        if (path / CHECKSUMS).is_file():
            yield read_backup(path)


def write_checksums(directory: Path, names: list[str]) -> None:
    """Write the checksums of files of a directory."""
    write_durably(directory / CHECKSUMS, "".join(f"{sha256_of(directory / name)}  {name}\n" for name in names))


def write_durably(path: Path, text: str) -> None:
    """Write a file that only its owner may read, and see it on disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def sha256_of(path: Path) -> str:
    """The checksum of a file, as hexadecimal digits. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while part := stream.read(_READ_BYTES):
            digest.update(part)
    return digest.hexdigest()


def _listed_checksums(path: Path) -> dict[str, str]:
    try:
        lines = (path / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path, f"{CHECKSUMS} cannot be read") from error
    listed: dict[str, str] = {}
    for line in lines:
        checksum, _, name = line.partition("  ")
        if name not in (DUMP, MANIFEST, MODELS):
            raise _damaged(path, f"{CHECKSUMS} names {name!r}, which no backup has")
        listed[name] = checksum
    return listed


def _damaged(path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(f"The backup {path} is damaged: {what}. Take another one.")
