"""Runs a console script of a service in the foreground: its output is this command's."""

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.launch import bound_to_this_process


def run_script(name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> int:
    """The exit status of the console script beside this Python; it ends when this process does.

    It has this process's environment where it is given none.

    Raises:
        StackError: it is not installed.
    """
    script = Path(sys.executable).parent / name
    if not script.is_file():
        raise StackError(f"Not installed beside {sys.executable}: {name}. Install triptych's services.")
    command = bound_to_this_process((str(script), *arguments), user=None, death_signal=signal.SIGTERM)
    with subprocess.Popen(command, env=environment) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The terminal has sent it to the script as well, which ends in its own way.
            process.wait()
            raise
