"""Places of photos as the command line takes them: directories of this machine, and prefixes of buckets."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

MEDIA_ROOTS_VARIABLE: Final = "TRIPTYCH_MEDIA_ROOTS"
_SCHEME: Final = "s3://"

Place: TypeAlias = Path | str
"""A directory, or, as a str, the URI of a bucket or of a prefix of one."""


def place(named: str) -> Place:
    """What somebody names; a URI stays as it is, since a Path would take its slashes for one."""
    return named.rstrip("/") if named.startswith(_SCHEME) else Path(named)


def places_in(environment: Mapping[str, str]) -> tuple[Place, ...]:
    """What TRIPTYCH_MEDIA_ROOTS names, separated as in PATH."""
    named = re.split(rf"{os.pathsep}(?!//)", environment.get(MEDIA_ROOTS_VARIABLE, ""))
    return tuple(place(one) for one in named if one)


def absolute(named: Place) -> Place:
    """The same place, from whatever directory it is named."""
    # Not resolved: a link's own name is what the user knows it by, and the gateway resolves it itself. Path.absolute()
    # would keep `..`.
    return named if isinstance(named, str) else Path(os.path.abspath(named))  # noqa: PTH100


def expanded(named: Place) -> Place:
    """The same place, without ``~``."""
    return named if isinstance(named, str) else named.expanduser()


def name_of(named: Place) -> str:
    """What a place is called, without what it lies in."""
    return named.rpartition("/")[2] if isinstance(named, str) else named.name


def may_be_there(named: Place) -> bool:
    """False for what is no directory of this machine; of a bucket, only who has its keys can tell."""
    return isinstance(named, str) or named.is_dir()


def may_be_listed(named: Place) -> bool:
    """Whether a place can stand in a list of them, which a separator in its name would break."""
    return os.pathsep not in str(named).removeprefix(_SCHEME)
