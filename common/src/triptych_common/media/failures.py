"""The reasons for which a photo can be without a result."""

import errno
from collections.abc import Mapping
from typing import Final, Literal

from triptych_common.error_reasons import Explanation

ImageFailureCode = Literal[
    "not_found",
    "permission_denied",
    "path_not_allowed",
    "symlink_loop",
    "empty_file",
    "unsupported_format",
    "corrupt",
    "too_large",
    "read_failed",
    "model_failed",
    "worker_lost",
    "decoder_crashed",
    "decoder_timed_out",
]

FAILURES: Final[Mapping[ImageFailureCode, Explanation]] = {
    "not_found": Explanation(
        "The file does not exist.", "Put it back, or start the session again: it is left out then."
    ),
    "permission_denied": Explanation(
        "The file may not be read.", "Let the services' user read it, and try the photo again."
    ),
    "path_not_allowed": Explanation(
        "The photo lies outside the media roots of a service.", "Give gateway and services the same media roots."
    ),
    "symlink_loop": Explanation("The link leads back to itself.", "Remove the link, or let it lead to the photo."),
    "empty_file": Explanation("The file has no bytes.", "Copy it again from where it came."),
    "unsupported_format": Explanation(
        "The content is of no picture format that is read.", "Convert it, or leave it where it is: it does no harm."
    ),
    "corrupt": Explanation("The content is damaged or cut short.", "Copy it again from where it came."),
    "too_large": Explanation(
        "The file or the picture is larger than may be.",
        "Make it smaller, or raise TRIPTYCH_MAX_IMAGE_PIXELS and the memory.",
    ),
    "read_failed": Explanation(
        "Reading failed.", "See to the disk or the network, and try the photo again; the service's log has the details."
    ),
    "model_failed": Explanation(
        "The model failed on this photo.", "Try the photo again; where it repeats, the service's log has the details."
    ),
    "worker_lost": Explanation(
        "The worker died each time it was given this photo.",
        "Look at the photo and the worker's log, and report it; all other photos are done.",
    ),
    "decoder_crashed": Explanation(
        "The process that decodes photos died of this one, twice.",
        "Nothing else was harmed. Convert the photo; the log says where it died, which is worth a report.",
    ),
    "decoder_timed_out": Explanation(
        "Decoding took longer than a photo may take.",
        "Look at the photo; if it is in order, raise TRIPTYCH_DECODE_SECONDS and try it again.",
    ),
}
"""What each code means, and what to do about the photo."""


class ImageFailure(Exception):  # noqa: N818 - it is a result as often as it is raised
    """A photo has no result, and why. ``permanent`` means that trying again cannot help until the file changes."""

    def __init__(self, code: ImageFailureCode, message: str, *, permanent: bool = True) -> None:
        super().__init__(message)
        self.code: ImageFailureCode = code
        self.message = message
        self.permanent = permanent


def failure_from_os_error(error: OSError) -> ImageFailure:
    """What an operating system's error means for a photo."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return ImageFailure("not_found", "The file does not exist.")
    if isinstance(error, PermissionError):
        reason = error.strerror or "permission denied"
        return ImageFailure("permission_denied", f"The file may not be read: {reason[0].lower()}{reason[1:]}.")
    if error.errno == errno.ELOOP:
        return ImageFailure("symlink_loop", "The link leads back to itself.")
    if isinstance(error, IsADirectoryError):
        return ImageFailure("unsupported_format", "This is a directory, not a photo.")
    return ImageFailure("read_failed", f"Reading failed: {error.strerror or type(error).__name__}.", permanent=False)
