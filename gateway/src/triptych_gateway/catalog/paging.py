"""Pages of long lists: each is read from the nearer end, so that the last page costs what the first does."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Window:
    """What to read of an ordered list."""

    reverse: bool
    """Whether to read in the opposite order; what is read must then be turned round."""
    offset: int
    """Items to pass over, in the order of reading."""
    limit: int
    """Items to read."""


def window(*, offset: int, limit: int, total: int) -> Window:
    """The window for ``limit`` items after ``offset`` of a list of ``total``; all ≥ 0."""
    size = max(0, min(limit, total - offset))
    if offset <= total // 2:
        return Window(reverse=False, offset=offset, limit=size)
    return Window(reverse=True, offset=max(0, total - offset - size), limit=size)
