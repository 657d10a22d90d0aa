"""Lets a command that waits be stopped in order by Ctrl-C or SIGTERM."""

import asyncio
import signal
from types import TracebackType
from typing import Self

_STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SIGNAL_STATUS_BASE = 128
"""A shell's exit status for a command that a signal ended is this plus the signal's number."""


class Interruption:
    """Within `with Interruption()`, the first SIGINT or SIGTERM cancels the task that entered.

    That task sees `asyncio.CancelledError`, and `exit_status` then tells a signal from any other reason. A second
    signal has its default effect at once: it ends the process. Must be entered in the main thread.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None
        self._signal_number: int | None = None
        self._settled = False

    @property
    def exit_status(self) -> int | None:
        """The status to exit with after a signal, such as 130; None where there was none."""
        return None if self._signal_number is None else _SIGNAL_STATUS_BASE + self._signal_number

    def settle(self) -> None:
        """From here on a first signal cancels nothing: what remains is the orderly end."""
        self._settled = True

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        for number in _STOPPING_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._stop, number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._signal_number is None:
            _release()
        elif isinstance(error, asyncio.CancelledError) and self._task is not None:
            self._task.uncancel()

    def _stop(self, signal_number: int) -> None:
        self._signal_number = signal_number
        _release()
        for number in _STOPPING_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        if not self._settled and self._task is not None:
            self._task.cancel()


def _release() -> None:
    for number in _STOPPING_SIGNALS:
        asyncio.get_running_loop().remove_signal_handler(number)
