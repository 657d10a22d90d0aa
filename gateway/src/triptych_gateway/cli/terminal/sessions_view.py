"""Shows all sessions as they go on: a table redrawn in place on a terminal, sparing lines anywhere else."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live

from triptych_gateway.cli.rest.answers import Snapshot
from triptych_gateway.cli.terminal.progress_view import PlainView
from triptych_gateway.cli.terminal.session_table import SessionRow, session_table
from triptych_gateway.cli.terminal.wording import session_title

_UNDER_WAY = frozenset({"discovering", "running"})
_REDRAWS_PER_SECOND = 4


class SessionsView:
    """The sessions last looked at, each with its newest snapshot; shown within `with view:`."""

    def __init__(self) -> None:
        self.rows: list[SessionRow] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    @property
    def is_any_under_way(self) -> bool:
        """Whether some session runs."""
        return any(_status(row) in _UNDER_WAY for row in self.rows)

    @property
    def updated_at(self) -> datetime | None:
        """When the newest snapshot was made; None where no session has one."""
        moments = [row.snapshot.updated_at for row in self.rows if row.snapshot is not None]
        return max((moment for moment in moments if moment is not None), default=None)

    def begin(self, rows: Sequence[SessionRow]) -> None:
        """Takes the sessions there are, newest first."""
        self.rows = list(rows)

    def show(self, snapshot: Snapshot) -> bool:
        """Takes the next snapshot of a session; False where it is of none that was looked at."""
        for index, row in enumerate(self.rows):
            if row.session.id == snapshot.session_id:
                if row.snapshot is None or (row.snapshot.revision or 0) <= (snapshot.revision or 0):
                    self.rows[index] = replace(row, snapshot=snapshot)
                return True
        return False


def sessions_view(console: Console) -> SessionsView:
    """A table in place where `console` is a terminal that can redraw, else lines."""
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveSessionsView(console)
    return PlainSessionsView(console)


class LiveSessionsView(SessionsView):
    """The table, redrawn in place four times a second."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._live = Live(
            console=console, get_renderable=lambda: session_table(self.rows), refresh_per_second=_REDRAWS_PER_SECOND
        )

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


class PlainSessionsView(SessionsView):
    """Each session's lines under its title as they come, and the table at the end."""

    def __init__(self, console: Console, *, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._console = console
        self._now = now
        self._lines: dict[int, PlainView] = {}

    def show(self, snapshot: Snapshot) -> bool:
        """Takes the next snapshot of a session; False where it is of none that was looked at."""
        session = next((row.session for row in self.rows if row.session.id == snapshot.session_id), None)
        if session is not None:
            new = PlainView(self._console, prefix=f"{session_title(session)}  ", now=self._now)
            self._lines.setdefault(session.id, new).show(snapshot)
        return super().show(snapshot)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._console.print(session_table(self.rows))


def _status(row: SessionRow) -> str:
    return row.snapshot.overall_status if row.snapshot is not None else row.session.status
