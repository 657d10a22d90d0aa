"""Errors in what the parts wrote, but for those that are expected."""

import re
from collections import Counter
from pathlib import Path
from typing import Final

_ERROR: Final = re.compile(r"\[error|\[critical|Traceback|\[ERR\]|\[FTL\]|\b(ERROR|FATAL|PANIC):")
_EXPECTED: Final = {
    r"FATAL:  the database system is (not yet accepting connections|starting up)": (
        "the stack asks a PostgreSQL that has just been started until it answers"
    ),
}
"""Regular expressions of lines that may come, each with its reason."""


def errors(directory: Path) -> Counter[str]:
    """Lines that tell of errors that are not expected, by the part that wrote them."""
    found: Counter[str] = Counter()
    for path in sorted(directory.glob("*.log*")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if _ERROR.search(line) and not any(re.search(expected, line) for expected in _EXPECTED):
                found[f"{path.name}: {line[:300]}"] += 1
    return found
