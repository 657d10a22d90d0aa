"""When an object changed, as one number that also tells one content from another.

Stores tell the time of a change in seconds, and an object may change twice in one. Its ETag changes with its content.
So the digits below the second are a digest of the ETag: two statuses of one object are equal if and only if nothing
changed, and where only the seconds differ, the content is the same (it was copied onto itself, or moved to another
class of storage).
"""

import hashlib
from datetime import datetime
from typing import Final

_SECOND_NS: Final = 10**9


def object_time_ns(modified_at: datetime, etag: str) -> int:
    """Time of an object's last change, in nanoseconds since 1970; below the second, a digest of its ETag, if any."""
    seconds = int(modified_at.timestamp())
    tag = etag.removeprefix("W/").strip('"')
    if not tag:
        return seconds * _SECOND_NS
    digest = int.from_bytes(hashlib.sha256(tag.encode()).digest()[:8], "big")
    return seconds * _SECOND_NS + 1 + digest % (_SECOND_NS - 1)


def have_same_tag(first_ns: int, second_ns: int) -> bool:
    """Whether two times of one object were made with one ETag; False where there was none."""
    digest = first_ns % _SECOND_NS
    return digest != 0 and digest == second_ns % _SECOND_NS
