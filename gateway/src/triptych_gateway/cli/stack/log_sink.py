"""Takes the lines of all processes to the terminal and to one file each."""

import os
import re
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

OWN_NAME: Final = "triptych"

_MAXIMUM_FILE_BYTES = 10 * 1024 * 1024
_KEPT_FILES = 3
_NAME_WIDTH = 10
_RESET, _DIM = "\x1b[0m", "\x1b[2m"
_COLOURS = ("\x1b[36m", "\x1b[33m", "\x1b[35m", "\x1b[32m", "\x1b[34m", "\x1b[96m", "\x1b[93m", "\x1b[95m")
_STYLE_SEQUENCE = re.compile(r"\x1b\[[0-9;]*m")
# Whatever a log line quotes (a photo's name, say) must not steer the terminal.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x09), *range(0x0A, 0x20), *range(0x7F, 0xA0))}


class LogSink:
    """The log of one stack: `NAME.log` in a directory for each name, and one column of names in the terminal.

    A file that has outgrown 10 MiB when the stack starts is kept as `NAME.log.1`, up to three of them. Files are 0600.
    While a file cannot be written its lines are counted; the next that can says how many are missing.
    """

    def __init__(self, directory: Path, *, console: TextIO | None) -> None:
        """`console` is where lines go besides their files; None for files only. `directory` must exist."""
        self._directory = directory
        self._console = console
        self._coloured = console is not None and console.isatty() and "NO_COLOR" not in os.environ
        self._files: dict[str, int] = {}
        self._lost: Counter[str] = Counter()
        """Lines that could not be written since the last that could, by name."""

    def say(self, text: str) -> None:
        """The stack's own word: always shown."""
        self.line(OWN_NAME, text)

    def line(self, name: str, text: str, *, show: bool = True) -> None:
        """One line of the process `name`; `show=False` keeps it off the terminal."""
        safe = _STYLE_SEQUENCE.sub("", text).translate(_ESCAPES)
        if show:
            self._write_console(name, safe)
        # The processes give their own times.
        time = f"{datetime.now(tz=UTC).isoformat(timespec='milliseconds')} " if name == OWN_NAME else ""
        self._write_file(name, f"{time}{safe}\n")

    def close(self) -> None:
        """Closes the files; a later line opens its file again."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def _write_file(self, name: str, text: str) -> None:
        lost = self._lost[name]
        if lost:
            text = f"({lost} lines are missing: the disk was full, or could not be written.)\n{text}"
        encoded = text.encode("utf-8", "backslashreplace")
        try:
            is_whole = os.write(self._file(name), encoded) == len(encoded)
        except OSError as error:
            is_whole = False
            if not lost:
                # What runs goes on; who reads the terminal is told once.
                self._write_console(OWN_NAME, f"{name}.log cannot be written: {error.strerror}.")
        self._lost[name] = 0 if is_whole else lost + 1

    def _file(self, name: str) -> int:
        if name not in self._files:
            path = self._directory / f"{name}.log"
            _rotate(path)
            self._files[name] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return self._files[name]

    def _write_console(self, name: str, text: str) -> None:
        if self._console is None:
            return
        if self._coloured:
            colour = _DIM if name == OWN_NAME else _COLOURS[sum(name.encode()) % len(_COLOURS)]
            line = f"{colour}{name:<{_NAME_WIDTH}} │{_RESET} {text}\n"
        else:
            line = f"{name:<{_NAME_WIDTH}} │ {text}\n"
        encoding = self._console.encoding or "utf-8"
        try:
            self._console.write(line.encode(encoding, "backslashreplace").decode(encoding))
            self._console.flush()
        except (OSError, ValueError) as error:
            # The reader of the terminal has gone (a closed pipe); the files go on.
            self._console = None
            self.line(OWN_NAME, f"The terminal cannot be written to any more ({error}); see the files in this folder.")


def terminal() -> TextIO:
    """Standard error: standard output is for what a command answers."""
    return sys.stderr


def _rotate(path: Path) -> None:
    if not path.exists() or path.stat().st_size < _MAXIMUM_FILE_BYTES:
        return
    for number in range(_KEPT_FILES - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))
