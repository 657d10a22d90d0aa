"""Which processes a process has started, and whether one is still there."""

from pathlib import Path


def children_of(pid: int | str = "self") -> set[int]:
    """Processes that a process has started and that have not ended."""
    found: set[int] = set()
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        found |= {int(child) for child in children.read_text().split() if is_running(int(child))}
    return found


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended; nobody may have waited for it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
