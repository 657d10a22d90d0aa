"""The terminal as the commands write to it."""

import io
import sys

from rich.console import Console


def output_console() -> Console:
    """Where results go: standard output."""
    return _console(stderr=False)


def message_console() -> Console:
    """Where news and errors go: standard error."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        # A locale without Unicode shows escapes instead of failing on the first sign.
        stream.reconfigure(errors="backslashreplace")
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)
