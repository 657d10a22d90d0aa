"""Paths that a client names: only directories under the media roots, and nothing is told about any other."""

import os

from triptych_common.media.locations import MediaRoots, display_path
from triptych_gateway.api.errors import ApiError


def allowed_directory(named: str, roots: MediaRoots) -> bytes:
    """The absolute path of a directory under the media roots that can be read.

    Raises ApiError: path_not_allowed (the same for anything outside, there or not), directory_not_found,
    not_a_directory, directory_not_readable.
    """
    try:
        path = os.path.normpath(os.fsencode(named))
    except UnicodeEncodeError as error:
        raise ApiError("path_not_allowed", "The path cannot be written in this system's encoding.") from error
    if roots.resolve(path) is None:
        known = ", ".join(display_path(root) for root in roots.directories) or "none are configured"
        raise ApiError(
            "path_not_allowed",
            f"The directory is not under a media root ({known}). Start Triptych with --media-root to add one.",
        )
    shown = display_path(path)
    try:
        with os.scandir(path):
            return path
    except FileNotFoundError as error:
        raise ApiError("directory_not_found", f"The directory {shown} does not exist.") from error
    except NotADirectoryError as error:
        raise ApiError("not_a_directory", f"{shown} is a file; name a directory of photos.") from error
    except OSError as error:
        raise ApiError("directory_not_readable", f"The directory {shown} cannot be read: {error.strerror}.") from error
