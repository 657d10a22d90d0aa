"""What a process gives up before it decodes: privileges, files, sockets, memory beyond its limit.

Where a system lacks one of these, the others hold. Numbers of Linux's calls are the same for every processor.
"""

import ctypes
import os
import resource
import signal
import sys
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_SYS_LANDLOCK_CREATE_RULESET: Final = 444
_SYS_LANDLOCK_RESTRICT_SELF: Final = 446
_LANDLOCK_CREATE_RULESET_VERSION: Final = 1
_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Version of Landlock → how many rights to files it knows (landlock(7)); later ones know as many as the fifth."""
_TCP_SINCE: Final = 4
_SCOPES_SINCE: Final = 6
_OOM_SCORE: Final = "1000"
"""The first to be ended where memory is short (proc(5), oom_score_adj): a decoder costs a photo, a service a shard."""


def live_with(parent: int) -> None:
    """End with the process that started this one, and by its word alone: what is meant for both is not for this one."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was gone before it could be told
        sys.exit(0)


def confine(*, memory_bytes: int, file_bytes: int) -> int:
    """Give up what decoding does not need; returns the version of Landlock that holds, 0 for none.

    From here on no file is opened, no module imported from one, no socket made, and no more than ``memory_bytes``
    allocated: that raises MemoryError. ``file_bytes`` is the most that may be written to a file that is open.
    """
    landlock = 0
    if sys.platform == "linux":
        _be_ended_first()
        _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        landlock = _leave_files_and_sockets()
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_DATA, memory_bytes),
        # Those that are open stay open.
        (resource.RLIMIT_NOFILE, 0),
    ):
        _limit(kind, most)
    return landlock


def _limit(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    try:
        resource.setrlimit(kind, (most, most))
    except (OSError, ValueError):  # macOS has not all of them
        return


def _be_ended_first() -> None:
    try:
        with open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 - no path
            file.write(_OOM_SCORE)
    except OSError:  # no /proc, or one that may not be written
        return


def _leave_files_and_sockets() -> int:
    """Landlock without a single rule: files and TCP, and from its sixth version on signals and abstract sockets."""
    libc = _libc()
    version: int = libc.syscall(_SYS_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_CREATE_RULESET_VERSION)
    if version < 1:
        return 0
    files = (1 << _FILE_RIGHTS.get(version, _FILE_RIGHTS[5])) - 1
    handled = [files, *([0b11] if version >= _TCP_SINCE else []), *([0b11] if version >= _SCOPES_SINCE else [])]
    attributes = (ctypes.c_uint64 * len(handled))(*handled)
    ruleset = libc.syscall(_SYS_LANDLOCK_CREATE_RULESET, attributes, ctypes.sizeof(attributes), 0)
    if ruleset < 0:
        return 0
    holds = libc.syscall(_SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return version if holds else 0


def _libc() -> Any:
    return ctypes.CDLL(None)
