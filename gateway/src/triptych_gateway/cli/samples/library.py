"""Writes a sample library and `samples.json`, the manifest that says what each photo is made of and who is in it.

The library is written beside its place and renamed into it, so that it is there whole or not at all. Its bytes depend
only on count, seed, GENERATOR_VERSION and the installed pictures and Pillow.
"""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from PIL import Image

from triptych_gateway.cli.samples.errors import DirectoryRefusedError
from triptych_gateway.cli.samples.plan import plan_photo
from triptych_gateway.cli.samples.sources import Picture, find_pictures, open_picture
from triptych_gateway.cli.samples.variants import Variant, encode_photo

MANIFEST_NAME = "samples.json"
# Raised with every change that makes other photos from the same count and seed.
GENERATOR_VERSION = 1
MAXIMUM_COUNT = 100_000


@dataclass(frozen=True, kw_only=True)
class SampleLibrary:
    """A sample library on disk.

    `total_bytes` is of its photos; `faces_by_person` counts the faces of each person; `photos_by_credit` counts photos
    by distribution and credit line of their pictures; `written` is False where the library was there before.
    """

    directory: Path
    count: int
    seed: int
    total_bytes: int
    faces_by_person: dict[str, int]
    photos_by_credit: dict[tuple[str, str], int]
    written: bool


def write_library(
    directory: Path, *, count: int, seed: int, on_photo: Callable[[int], None] = lambda _: None
) -> SampleLibrary:
    """Write `count` photos (1 to MAXIMUM_COUNT) and their manifest to a directory that does not exist or is empty.

    A directory that holds this very library is left as it is. `on_photo` is called with the number of photos written so
    far. Raises DirectoryRefusedError for a directory with anything else in it, PictureMissingError,
    PictureChangedError, OSError, and ValueError for a count out of range.
    """
    if not 1 <= count <= MAXIMUM_COUNT:
        raise ValueError(f"count must be from 1 to {MAXIMUM_COUNT}, not {count}")
    # Where a link leads: renaming over the link itself would replace it.
    directory = directory.resolve()
    present = _manifest_of(directory, count=count, seed=seed)
    if present is not None:
        return _summary(directory, present, written=False)
    files = find_pictures()
    directory.parent.mkdir(parents=True, exist_ok=True)
    aside = directory.with_name(f".{directory.name}.{os.getpid()}.partial")
    aside.mkdir()
    try:
        manifest = _write_photos(aside, files, count=count, seed=seed, on_photo=on_photo)
        _put_in_place(aside, directory)
    finally:
        # Gone already if all went well.
        with suppress(FileNotFoundError):
            shutil.rmtree(aside)
    return _summary(directory, manifest, written=True)


def _write_photos(
    aside: Path, files: dict[Picture, Path], *, count: int, seed: int, on_photo: Callable[[int], None]
) -> dict[str, Any]:
    @cache
    def image(picture: Picture) -> Image.Image:
        return open_picture(picture, files[picture])

    photos: list[dict[str, Any]] = []
    for index in range(count):
        variant = plan_photo(index, seed=seed)
        encoded = encode_photo(image(variant.picture), variant)
        file = aside / variant.name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(encoded)
        # As a camera's card would have it; readers of times without EXIF then agree with EXIF.
        seconds = variant.taken_at.replace(tzinfo=UTC).timestamp()
        os.utime(file, (seconds, seconds))
        photos.append(_describe(variant, encoded))
        on_photo(index + 1)
    manifest = {
        "generator": "triptych samples",
        "generator_version": GENERATOR_VERSION,
        "count": count,
        "seed": seed,
        "photos": photos,
    }
    (aside / MANIFEST_NAME).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


def _describe(variant: Variant, encoded: bytes) -> dict[str, Any]:
    """Return a photo's entry in the manifest; boxes are [x, y, width, height], 0 to 1 of the upright photo."""
    picture = variant.picture
    return {
        "name": variant.name,
        "bytes": len(encoded),
        "sha256": hashlib.sha256(encoded).hexdigest(),
        "taken_at": variant.taken_at.isoformat(),
        "source": {
            "distribution": picture.distribution,
            "version": _version(picture.distribution),
            "picture": f"{picture.package}/{picture.path}",
            "credit": picture.credit,
        },
        "derived": {
            "framing": asdict(variant.framing),
            "tone": asdict(variant.tone),
            "encoding": asdict(variant.encoding),
        },
        "people": [{"person": face.person, "box": list(variant.box(face))} for face in variant.people()],
    }


@cache
def _version(distribution: str) -> str | None:
    """Return an installed distribution's version; None for a package that is importable without being installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _put_in_place(aside: Path, directory: Path) -> None:
    try:
        # Also replaces an empty directory, and only an empty one.
        aside.rename(directory)
    except OSError as error:
        raise DirectoryRefusedError(
            f"the library could not be moved to {directory} ({error.strerror}): "
            "something else came to be there, or it is where a disk is mounted; name a directory below it"
        ) from error


def _manifest_of(directory: Path, *, count: int, seed: int) -> dict[str, Any] | None:
    """Return the manifest of the library if the directory holds it already, None if a library can be written there.

    Raises DirectoryRefusedError for anything else.
    """
    try:
        if next(directory.iterdir(), None) is None:
            return None
        manifest = json.loads((directory / MANIFEST_NAME).read_bytes())
        found = tuple(manifest[key] for key in ("generator_version", "count", "seed"))
        changed = [photo["name"] for photo in manifest["photos"] if not _is_intact(directory, photo)]
    except FileNotFoundError:
        if not directory.exists():
            return None
        raise DirectoryRefusedError(
            f"{directory} holds other files; name a directory that is empty or not there"
        ) from None
    except NotADirectoryError:
        raise DirectoryRefusedError(f"{directory} is not a directory") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DirectoryRefusedError(f"{directory / MANIFEST_NAME} is no manifest of samples: {error!r}") from error
    if found != (GENERATOR_VERSION, count, seed):
        raise DirectoryRefusedError(
            f"{directory} holds another sample library ({found[1]} photos, seed {found[2]}, version {found[0]}); "
            "remove it first or name another directory"
        )
    if changed:
        raise DirectoryRefusedError(
            f"{len(changed)} of the {count} photos in {directory} are missing or changed (such as {changed[0]}); "
            "remove it first or name another directory"
        )
    result: dict[str, Any] = manifest
    return result


def _is_intact(directory: Path, photo: dict[str, Any]) -> bool:
    name: str = photo["name"]
    file = directory / name
    return file.is_file() and file.stat().st_size == photo["bytes"]


def _summary(directory: Path, manifest: dict[str, Any], *, written: bool) -> SampleLibrary:
    photos = manifest["photos"]
    return SampleLibrary(
        directory=directory,
        count=manifest["count"],
        seed=manifest["seed"],
        total_bytes=sum(photo["bytes"] for photo in photos),
        faces_by_person=dict(sorted(Counter(entry["person"] for photo in photos for entry in photo["people"]).items())),
        photos_by_credit=dict(
            Counter((photo["source"]["distribution"], photo["source"]["credit"]) for photo in photos).most_common()
        ),
        written=written,
    )
