"""The argument list that starts a program bound to this process (see `parent_bound`)."""

import os
import signal
import sys
from pathlib import Path

from triptych_gateway.cli.stack.unix_user import UnixUser

_SCRIPT = Path(__file__).with_name("parent_bound.py")


def bound_to_this_process(
    arguments: tuple[str, ...], *, user: UnixUser | None, death_signal: signal.Signals
) -> tuple[str, ...]:
    """`arguments`, run as `user` (None: as the present one) and sent `death_signal` when this process dies.

    The program replaces the script, so its process id is that of the process started.
    """
    user_id, group_id = (str(user.user_id), str(user.group_id)) if user else ("-", "-")
    binding = (str(os.getpid()), str(int(death_signal)), user_id, group_id)
    return (sys.executable, "-I", "-S", str(_SCRIPT), *binding, *arguments)
