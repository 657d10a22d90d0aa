"""Runs commands as a user who is not root, for what root is never refused: files and directories of mode 000."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from triptych_gateway.cli.stack.unix_user import first_closed_directory, unprivileged_user

# An overlay takes the mode of its upper directory; with nothing in that, it is the closed directory, opened.
_OPENED = 'mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$1" && shift 2 && exec "$@"'


@contextlib.contextmanager
def unprivileged(*owned: Path) -> Iterator[tuple[str, ...]]:
    """The words to put before a command so that it runs as `nobody`, who is given the directories `owned`.

    There are none where the tests themselves do not run as root. Where this Python lies in a directory that `nobody`
    may not pass through (pyenv's, under /root), the command gets a mount namespace of its own in which it is open.
    Nothing outside the command is changed by that.
    """
    user = unprivileged_user()
    if user is None:
        yield ()
        return
    for directory in owned:
        os.chown(directory, user.user_id, user.group_id)
    words = ("setpriv", f"--reuid={user.user_id}", f"--regid={user.group_id}", "--clear-groups", "--")
    closed = first_closed_directory(Path(sys.executable), user)
    if closed is None:
        yield words
        return
    with tempfile.TemporaryDirectory(prefix="triptych-overlay-") as scratch:
        for name, mode in (("upper", 0o755), ("work", 0o700)):
            (Path(scratch) / name).mkdir()
            (Path(scratch) / name).chmod(mode)
        yield ("unshare", "--mount", "sh", "-c", _OPENED, "sh", str(closed), scratch, *words)
