"""Becomes a given program that ends when the process which started it ends; run as a script, standard library only.

Arguments: the starter's process id, the number of the signal to get at its death, user id and group id to run as
(`-` `-` to stay), then the program and its arguments. A script between the two, rather than a `preexec_fn`, because
Python must not run code in a process forked from one that has threads (gRPC's here), and because the kernel forgets
the death signal when a process changes its user (prctl(2), PR_SET_PDEATHSIG): the order matters.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_STARTER_IS_GONE = 75
_CANNOT_RUN = 126


def become(arguments: list[str]) -> None:
    """Does not return unless the starter is gone already, which it answers by exiting with status 75 (EX_TEMPFAIL)."""
    starter, death_signal, user_id, group_id, *command = arguments
    # Python ignores these for itself, and what is ignored stays ignored in the program.
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    if user_id != "-":
        os.setgroups([])
        os.setgid(int(group_id))
        os.setuid(int(user_id))
        os.umask(0o077)
    if sys.platform == "linux":
        library = ctypes.CDLL(None, use_errno=True)
        if library.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != int(starter):
        sys.exit(_STARTER_IS_GONE)
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be run: {error.strerror}\n")
        sys.exit(_CANNOT_RUN)


if __name__ == "__main__":
    become(sys.argv[1:])
