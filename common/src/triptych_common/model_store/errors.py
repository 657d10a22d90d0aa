"""What can go wrong with weights while they are fetched.

ModelStoreError            one sentence for a person, with what to do
├── LicenceNotAccepted     the licence forbids commercial use, and nobody has accepted that
├── TransferError          a server, a network or a mirror did not give what is pinned
└── PlaceError             the models directory cannot take it: full, or not ours to write to
"""

import errno
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ModelStoreError(Exception):
    """Why weights could not be had: one sentence that says what to do."""


class LicenceNotAccepted(ModelStoreError):  # noqa: N818 — named as the state it reports
    """The licence must be accepted first."""


class TransferError(ModelStoreError):
    """The weights did not come as they are pinned."""


class PlaceError(ModelStoreError):
    """The place where they are to lie cannot take them."""

    @classmethod
    def of(cls, error: OSError, models_dir: Path) -> "PlaceError":
        """What an operating system's error means for a person."""
        if error.errno in _FULL:
            return cls(
                f"There is no room for more in {models_dir} ({error.strerror}): free some space, and run the command"
                " again to go on; what has come so far is kept."
            )
        return cls(f"{error.filename or models_dir} cannot be used: {error.strerror or error}.")
