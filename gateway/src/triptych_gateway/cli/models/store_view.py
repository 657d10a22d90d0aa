"""Shows how far weights are: a bar for each file on a terminal, a line now and then anywhere else."""

import time
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from triptych_common.model_store.listening import Listener, Step
from triptych_gateway.cli.terminal.text import printable

_PLAIN_INTERVAL_SECONDS: Final = 10.0


class StoreView(Listener, Protocol):
    """Listens to the model store, within ``with view:``."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def store_view(console: Console) -> StoreView:
    """Bars where `console` is a terminal that can redraw, else lines."""
    return BarView(console) if console.is_terminal and not console.is_dumb_terminal else LineView(console)


class BarView:
    """A bar for each file and step."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._tasks: dict[tuple[Step, str], TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def on_progress(self, step: Step, name: str, done_bytes: int, total_bytes: int) -> None:
        """Draws it."""
        key = (step, name)
        if key not in self._tasks:
            # What an earlier run has brought is where this one begins, not its speed.
            description = f"{step} {printable(name)}"
            self._tasks[key] = self._progress.add_task(description, total=total_bytes, completed=done_bytes)
        self._progress.update(self._tasks[key], completed=done_bytes)

    def say(self, sentence: str) -> None:
        """Prints it above the bars."""
        self._progress.console.print(Text(printable(sentence)), soft_wrap=True)


class LineView:
    """A line when something begins, ends, and every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._current: tuple[Step, str] | None = None
        self._told_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

    def on_progress(self, step: Step, name: str, done_bytes: int, total_bytes: int) -> None:
        """Prints a line where one is due."""
        now = time.monotonic()
        is_new = (step, name) != self._current
        if not (is_new or done_bytes == total_bytes or now - self._told_at >= _PLAIN_INTERVAL_SECONDS):
            return
        self._current, self._told_at = (step, name), now
        percentage = 100 if total_bytes == 0 else 100 * done_bytes // total_bytes
        self.say(f"{step} {name}: {percentage} % of {megabytes(total_bytes)}")

    def say(self, sentence: str) -> None:
        """Prints it."""
        self._console.print(Text(printable(sentence)), soft_wrap=True)


def megabytes(size_bytes: int) -> str:
    """A size for a person, such as ``605.1 MB``."""
    return f"{size_bytes / 1e6:,.1f} MB"
