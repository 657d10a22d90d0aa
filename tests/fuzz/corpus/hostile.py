"""A hostile file, and how a session may end with it."""

from dataclasses import dataclass
from typing import Final

EMBEDDED: Final = "embedded"
"""It is read as a photo after all, and has one result."""
LEFT_OUT: Final = "left out"
"""Discovery does not take it for a photo."""
CORRUPT: Final = "corrupt"
UNSUPPORTED: Final = "unsupported_format"
TOO_LARGE: Final = "too_large"
EMPTY: Final = "empty_file"
DENIED: Final = "permission_denied"
OUTSIDE: Final = "path_not_allowed"
LOOP: Final = "symlink_loop"
NOT_FOUND: Final = "not_found"
TOO_LONG: Final = "path_too_long"

REFUSED: Final = (CORRUPT, UNSUPPORTED)
ANY: Final = (EMBEDDED, CORRUPT, UNSUPPORTED, TOO_LARGE)
"""What bytes may come to of which nothing more is known."""


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """A file that is not as it should be."""

    name: bytes
    """Its file's name; of its own within its kind."""
    content: bytes
    ends: frozenset[str]
    """How it may end: EMBEDDED, LEFT_OUT, or codes of failures."""


def hostile(name: str | bytes, content: bytes, *ends: str) -> Hostile:
    """A file that may end in any of these ways."""
    return Hostile(name=name.encode() if isinstance(name, str) else name, content=content, ends=frozenset(ends))
