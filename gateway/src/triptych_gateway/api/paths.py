"""Paths that a client names: only what is under the media roots, and nothing is told about anything else."""

import os
import re
from typing import Final

from triptych_common.media.locations import MediaRoots, display_path
from triptych_gateway.api.errors import ApiError
from triptych_gateway.catalog.library.photos import FoundPhoto
from triptych_gateway.pipeline.discovery.directory_tree import is_photo
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
    # Nothing has a NUL in its name, not even before a "/..": left as it is, it is under no root.
    path = os.path.normpath(encoded) if b"\0" not in encoded else encoded
    meant = _SHOWN_BYTE.sub(lambda match: bytes.fromhex(match[1].decode()), path)
    allowed = [one for one in (path, meant) if roots.resolve(one) is not None]
    if not allowed:
        known = ", ".join(display_path(root) for root in roots.directories) or "none are configured"
        raise ApiError(
            "path_not_allowed",
            f"The path is not under a media root ({known}). Start Triptych with --media-root to add one.",
        )
    return next((one for one in allowed if os.path.lexists(one)), allowed[0])


def allowed_directory(named: str, roots: MediaRoots) -> bytes:
    """The absolute path of a directory under the media roots that can be read.

    Raises ApiError: path_not_allowed, and as `unreadable_directory` makes it.
    """
    path = named_path(named, roots)
    try:
        with os.scandir(path):
            return path
    except OSError as error:
        raise unreadable_directory(path, error) from error


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

    Raises ApiError: path_not_allowed, image_unreadable, photo_not_found.
    """
    path = named_path(named, roots)
    if not is_photo(os.path.basename(path)):  # noqa: PTH119 - paths are bytes here
        raise ApiError(
            "image_unreadable",
            f"{display_path(path)} is not called as a photo is.",
            details={"reason": "unsupported_format"},
        )
    photo = look_at(path)
    if photo is None:
        raise ApiError("photo_not_found", f"There is no photo {display_path(path)}.")
    return photo
