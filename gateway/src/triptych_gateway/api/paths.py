"""Paths that a client names: only what is under the media roots, and nothing is told about anything else."""

import os
import posixpath
import re
from typing import Final

from triptych_common.media.locations import MediaRoots, display_path
from triptych_common.media.object_names import is_object_path
from triptych_gateway.api.errors import ApiError
from triptych_gateway.catalog.library.photos import FoundPhoto
from triptych_gateway.pipeline.discovery.listing import is_photo, normalised_path
from triptych_gateway.pipeline.discovery.walking import look_at

_SHOWN_BYTE: Final = re.compile(rb"\\x([89a-f][0-9a-f])")
"""How `display_path` shows a byte that is not UTF-8."""


def named_path(named: str, roots: MediaRoots) -> bytes:
    """The absolute path of something under the media roots, whether it is there or not.

    A path as it is shown, with ``\\xNN`` for a byte that is not UTF-8, is understood where nothing has that very name.
    Raises ApiError: path_not_allowed (the same for anything outside, there or not).
    """
    try:
        encoded = os.fsencode(named)
    except UnicodeEncodeError as error:
        raise ApiError("path_not_allowed", "The path cannot be written in this system's encoding.") from error
    if is_object_path(encoded):
        # An object's key is taken as it is written: nothing in it is an escape.
        path = normalised_path(encoded)
        if roots.resolve(path) is None:
            raise _outside(roots)
        return path
    # Nothing has a NUL in its name, not even before a "/..": left as it is, it is under no root.
    path = os.path.normpath(encoded) if b"\0" not in encoded else encoded
    meant = _SHOWN_BYTE.sub(lambda match: bytes.fromhex(match[1].decode()), path)
    allowed = [one for one in (path, meant) if roots.resolve(one) is not None]
    if not allowed:
        raise _outside(roots)
    return next((one for one in allowed if os.path.lexists(one)), allowed[0])


def below(root: str, named: str) -> str:
    """A path that a client names by itself, or by how it goes on from another one."""
    return named if is_object_path(named.encode(errors="replace")) else posixpath.join(root, named)


def _outside(roots: MediaRoots) -> ApiError:
    known = ", ".join(display_path(root) for root in roots.all) or "none are configured"
    return ApiError(
        "path_not_allowed",
        f"The path is not under a media root ({known}). Start Triptych with --media-root to add one.",
    )


def allowed_directory(named: str, roots: MediaRoots) -> bytes:
    """The path of a directory under the media roots that can be read.

    Raises ApiError: path_not_allowed, and as `unreadable_directory` makes it; AwayError where its store is away.
    """
    path = named_path(named, roots)
    try:
        next(roots.entries(path), None)
    except OSError as error:
        raise unreadable_directory(path, error) from error
    return path


def unreadable_directory(path: bytes, error: OSError) -> ApiError:
    """Why a directory under the media roots cannot be read."""
    shown = display_path(path)
    if isinstance(error, FileNotFoundError):
        return ApiError("directory_not_found", f"The directory {shown} does not exist.")
    if isinstance(error, NotADirectoryError):
        return ApiError("not_a_directory", f"{shown} is a file; name a directory of photos.")
    return ApiError("directory_not_readable", f"The directory {shown} cannot be read: {error.strerror}.")


def allowed_photo(named: str, roots: MediaRoots) -> FoundPhoto:
    """A file under the media roots that counts as a photo by its name.

    Raises ApiError: path_not_allowed, image_unreadable, photo_not_found; AwayError where its store is away.
    """
    path = named_path(named, roots)
    if not is_photo(os.path.basename(path)):  # noqa: PTH119 - paths are bytes here
        raise ApiError(
            "image_unreadable",
            f"{display_path(path)} is not called as a photo is.",
            details={"reason": "unsupported_format"},
        )
    photo = look_at(path, roots)
    if photo is None:
        raise ApiError("photo_not_found", f"There is no photo {display_path(path)}.")
    return photo
