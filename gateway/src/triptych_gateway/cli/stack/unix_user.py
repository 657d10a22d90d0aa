"""Which system user a process runs as, and what that user can reach in the file system."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from triptych_gateway.cli.stack.errors import StackError

UNPRIVILEGED_NAME = "nobody"


@dataclass(frozen=True, kw_only=True)
class UnixUser:
    """A system user and its primary group; no further groups count."""

    name: str
    user_id: int
    group_id: int


def unprivileged_user() -> UnixUser | None:
    """The user for programs that refuse to run as root; None when this process is not root.

    Raises:
        StackError: this process is root and the system has no user `nobody`.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(UNPRIVILEGED_NAME)
    except KeyError as error:
        raise StackError(
            f"PostgreSQL does not run as root and this system has no user {UNPRIVILEGED_NAME}: "
            "create it, start triptych as an ordinary user, or set DATABASE_URL."
        ) from error
    return UnixUser(name=entry.pw_name, user_id=entry.pw_uid, group_id=entry.pw_gid)


def permitted(status: os.stat_result, user: UnixUser, *, wanted: int) -> bool:
    """Whether the mode bits in `status` give `user` all of `wanted` (0o4 read, 0o2 write, 0o1 search or execute)."""
    if user.user_id == 0:
        return True
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid == user.user_id:
        granted = mode >> 6
    elif status.st_gid == user.group_id:
        granted = mode >> 3
    else:
        granted = mode
    return granted & wanted == wanted


def first_closed_directory(path: Path, user: UnixUser) -> Path | None:
    """The outermost directory on the way to `path`, itself included, that `user` cannot search; None when all are open.

    `path` is resolved first; parts that do not exist yet count as open, since whoever creates them sets their mode.
    """
    resolved = path.resolve()
    for directory in (*reversed(resolved.parents), resolved):
        if not directory.exists():
            return None
        if directory.is_dir() and not permitted(directory.stat(), user, wanted=0o1):
            return directory
    return None
