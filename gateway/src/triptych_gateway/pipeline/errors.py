"""What ends a phase, and what is not read when a session is prepared: codes, their meaning, and what to do."""

from collections.abc import Mapping
from typing import Final

from triptych_common.error_reasons import Explanation
from triptych_gateway.catalog.library.photos import MAX_PATH_BYTES

_REPORT: Final = "Resume the session; where it repeats, report it with what `triptych diagnose` collects."
PHASE_FAILURES: Final[Mapping[str, Explanation]] = {
    "clustering_failed": Explanation(
        "The clusterer cannot group these faces; the message says why.", "Do what the reason asks for, and resume."
    ),
    "clustering_incomplete": Explanation("The clusterer's answer is not whole.", _REPORT),
    "worker_lost": Explanation(
        "The service was lost again and again in the middle of the work.",
        "Read its log: most often it has too little memory. Then resume.",
    ),
    "service_failed": Explanation("The service failed in a way that is not expected.", _REPORT),
    "service_refused": Explanation(
        "The service cannot carry out what it is asked for; the message says why.",
        "Do what the reason asks for; of other versions, update all. Then resume.",
    ),
    "model_changed": Explanation(
        "The service has another model now than the run began with.",
        "Restart the phase, or give the service the former model and resume.",
    ),
    "every_photo_failed": Explanation(
        "No photo has a result.", "Read the reasons in the session's list of photos; most often all have one cause."
    ),
    "internal_error": Explanation("A defect of Triptych; its log has the details.", _REPORT),
}
"""Codes of sessions and phases that failed."""
PROBLEMS: Final[Mapping[str, Explanation]] = {
    "path_too_long": Explanation(
        f"The path is longer than can be recorded, {MAX_PATH_BYTES:,} bytes, or than the system takes.",
        "Move it further up, or shorten the names of the directories above it.",
    ),
    "directory_ignored": Explanation(
        "The directory is one of those that are ignored.", "Take it off the list, if wanted."
    ),
    "not_a_directory": Explanation("A file has the name of a directory that was chosen.", "Choose another directory."),
    "name_not_allowed": Explanation("No path can be made of the name of an object.", "Give the object another name."),
}
"""Codes of what discovery could not read, beside those of photos."""


class PhaseFailedError(Exception):
    """A phase cannot be completed. ``code`` is a stable word in snake_case, the message one sentence for a person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
