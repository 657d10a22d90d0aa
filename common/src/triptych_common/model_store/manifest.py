"""The manifest of weights: entries, their files and licences, as they are pinned in manifest.toml."""

import tomllib
from functools import cache
from importlib import resources
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from triptych_common.errors import ConfigurationError

MANIFEST: Final = resources.files(__package__) / "manifest.toml"

PhotoService = Literal["embedder", "facedetect"]
PHOTO_SERVICES: tuple[PhotoService, ...] = ("embedder", "facedetect")
"""The services that run models."""

_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]*"
FileName = Annotated[str, Field(pattern=rf"^{_SEGMENT}$")]
"""A name without a directory; not hidden, and nothing that leads elsewhere."""
EntryName = Annotated[str, Field(pattern=rf"^{_SEGMENT}/{_SEGMENT}$")]
"""``backend/model``: the entry's directory below that of all models."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
HttpsUrl = Annotated[str, Field(pattern=r"^https://[A-Za-z0-9.-]+/[A-Za-z0-9._~/%-]+$")]


class _Pinned(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Licence(_Pinned):
    """What may be done with weights."""

    name: str
    """An SPDX identifier, or a name where there is none."""
    url: HttpsUrl
    """Where it can be read."""
    non_commercial: bool
    """Must be accepted before the weights are fetched."""


class PinnedFile(_Pinned):
    """A file of an entry, as it lies in the entry's directory."""

    name: FileName
    size_bytes: int = Field(gt=0)
    sha256: Sha256


class Download(_Pinned):
    """A file that is fetched: one of the entry's own, or an archive that holds some of them."""

    url: HttpsUrl
    """At a fixed revision."""
    file: PinnedFile
    members: tuple["Member", ...] = ()
    """What is unpacked from it, where it is a zip archive; empty where the file itself is the entry's."""


class Member(_Pinned):
    """A member of an archive that becomes a file of the entry; others stay packed."""

    path: str
    """Its path in the archive."""
    file: PinnedFile


class Entry(_Pinned):
    """A set of weights that is fetched together and lies in one directory."""

    name: EntryName
    service: PhotoService
    model: str
    """The value of TRIPTYCH_MODEL that runs it."""
    pack: str
    """The pack it belongs to."""
    purpose: str
    """What it is for, in a few words."""
    source: HttpsUrl
    """Where a person reads about it."""
    licence: Licence
    downloads: tuple[Download, ...] = Field(min_length=1)

    @property
    def files(self) -> tuple[PinnedFile, ...]:
        """Every file of its directory."""
        return tuple(
            file
            for download in self.downloads
            for file in ([member.file for member in download.members] if download.members else [download.file])
        )

    @property
    def download_bytes(self) -> int:
        """How much is fetched for it."""
        return sum(download.file.size_bytes for download in self.downloads)

    @property
    def size_bytes(self) -> int:
        """How much its files take."""
        return sum(file.size_bytes for file in self.files)

    @model_validator(mode="after")
    def _files_differ(self) -> Self:
        names = [file.name for file in self.files]
        if len(set(names)) < len(names):
            raise ValueError(f"{self.name} has two files of one name")
        return self


class Manifest(_Pinned):
    """All entries."""

    production: dict[PhotoService, EntryName]
    """The entry that each service runs in the pack ``production``."""
    entries: tuple[Entry, ...]

    def find(self, name: str) -> Entry | None:
        """The entry of a name, such as ``insightface/buffalo_l``; None where it is not pinned here."""
        return next((entry for entry in self.entries if entry.name == name), None)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        names = [entry.name for entry in self.entries]
        if len(set(names)) < len(names):
            raise ValueError("two entries have one name")
        for service in PHOTO_SERVICES:
            entry = self.find(self.production.get(service, ""))
            if entry is None or entry.service != service:
                raise ValueError(f"production names no entry of the {service}")
        return self


@cache
def read_manifest() -> Manifest:
    """The manifest that this version was released with. Raises ConfigurationError where it is damaged."""
    text = MANIFEST.read_text(encoding="utf-8")
    try:
        return Manifest.model_validate(tomllib.loads(text))
    except ValueError as error:
        raise ConfigurationError(f"The manifest of model weights is damaged: {error}") from error


def production_model(service: PhotoService) -> str:
    """The value of TRIPTYCH_MODEL that the pack ``production`` stands for, such as ``insightface:buffalo_l``."""
    found = read_manifest()
    return next(entry.model for entry in found.entries if entry.name == found.production[service])
