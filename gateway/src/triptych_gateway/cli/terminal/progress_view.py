"""Shows a session's progress: live bars on a terminal, sparing lines anywhere else."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from triptych_gateway.cli.rest.answers import Phase, Snapshot
from triptych_gateway.cli.rest.following import ConnectionLost, ConnectionRestored, StreamGivenUp, Update
from triptych_gateway.cli.terminal import wording

_PLAIN_INTERVAL_SECONDS = 2.0
_REDRAWS_PER_SECOND = 4
_ESTIMATE_MINIMUM_WIDTH = 88
_RATE_MINIMUM_WIDTH = 64
_NUMBERS_MINIMUM_WIDTH = 44
_STATUS_SIGNS = {
    "completed": ("✓", "green"),
    "running": ("●", "cyan"),
    "processing": ("●", "cyan"),
    "paused": ("‖", "yellow"),
    "failed": ("✗", "red"),
    "cancelled": ("■", "yellow"),
}
_WAITING_SIGN = ("○", "bright_black")
_HEADLINE_STYLES = {
    "completed": "bold green",
    "failed": "bold red",
    "cancelled": "bold yellow",
    "paused": "bold yellow",
}


class ProgressView(Protocol):
    """Where the progress of one session is shown, within `with view:`."""

    def show(self, update: Update) -> None:
        """Takes the next snapshot or the next news of the connection."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def progress_view(console: Console, *, title: str) -> ProgressView:
    """Live bars where `console` is a terminal that can redraw, else lines."""
    return (
        LiveView(console, title=title) if console.is_terminal and not console.is_dumb_terminal else PlainView(console)
    )


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What a live view shows at one moment."""

    title: str
    snapshot: Snapshot | None = None
    snapshot_age_seconds: float = 0.0
    away: str | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.snapshot is None:
            yield Text(self.title, style="bold", overflow="ellipsis", no_wrap=True)
            return
        yield from self._lines(self.snapshot, options.max_width)

    def _lines(self, snapshot: Snapshot, width: int) -> list[RenderableType]:
        lines: list[RenderableType] = [self._title_line(snapshot), Text(), _headline(snapshot)]
        lines += [self._overall(snapshot), Text(), _phase_table(snapshot, width)]
        tally = _tally(snapshot)
        if tally:
            lines += [Text(), Text(tally, style="bright_black")]
        lines += [Text(f"✗ {sentence}", style="red") for sentence in wording.failures(snapshot)]
        lines += [Text(f"⚠ {told}", style="yellow") for told in self._warnings(snapshot)]
        return lines

    def _warnings(self, snapshot: Snapshot) -> list[str]:
        """What keeps the picture from being the truth of this moment, and what keeps the work from going on."""
        if self.away:
            return [self.away]
        late = wording.STALE if snapshot.stale else ""
        return [told for told in (wording.stall(snapshot), late) if told]

    def _title_line(self, snapshot: Snapshot) -> RenderableType:
        line = Table.grid(expand=True)
        line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        line.add_column(justify="right", no_wrap=True)
        elapsed = snapshot.overall_progress.elapsed_seconds
        since = 0.0 if snapshot.overall_status != "running" else self.snapshot_age_seconds
        shown = "" if elapsed is None else wording.clock(elapsed + since)
        line.add_row(Text(self.title, style="bold"), Text(shown, style="bright_black"))
        return line

    def _overall(self, snapshot: Snapshot) -> RenderableType:
        overall = snapshot.overall_progress
        left = wording.time_left(snapshot, age_seconds=self.snapshot_age_seconds)
        line = Table.grid(expand=True, padding=(0, 1))
        line.add_column(ratio=1)
        line.add_column(justify="right", no_wrap=True, width=7)
        if left:
            line.add_column(justify="right", no_wrap=True)
        style = _HEADLINE_STYLES.get(snapshot.overall_status, "bold magenta").removeprefix("bold ")
        cells: list[RenderableType] = [
            _bar(overall.percentage, style=style),
            Text(wording.percentage(overall.percentage), style="bold"),
        ]
        line.add_row(*cells, *([Text(left)] if left else []))
        return line


class LiveView:
    """Bars that are redrawn in place, four times a second, so that the clock runs on between snapshots."""

    def __init__(self, console: Console, *, title: str) -> None:
        self._picture = Picture(title=title)
        self._received_at = time.monotonic()
        self._live = Live(
            console=console, get_renderable=self._current, refresh_per_second=_REDRAWS_PER_SECOND, transient=False
        )

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, update: Update) -> None:
        """Takes the next snapshot or the next news of the connection."""
        match update:
            case Snapshot():
                self._received_at = time.monotonic()
                self._picture = replace(self._picture, snapshot=update, away=None)
            case ConnectionLost():
                self._picture = replace(self._picture, away=update.sentence())
            case ConnectionRestored():
                self._picture = replace(self._picture, away=None)
            case StreamGivenUp():
                pass
        if isinstance(update, Snapshot) and update.is_terminal:
            self._live.refresh()

    def _current(self) -> RenderableType:
        return replace(self._picture, snapshot_age_seconds=time.monotonic() - self._received_at)


class PlainView:
    """Lines for a log or a pipe: one per change of phase or status, and at most one per two seconds of other change.

    Each begins with `prefix`, which tells several sessions apart.
    """

    def __init__(self, console: Console, *, prefix: str = "", now: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._prefix = prefix
        self._now = now
        self._last_stage: tuple[str, str, bool] | None = None
        self._last_line = ""
        self._last_at = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, update: Update) -> None:
        """Takes the next snapshot or the next news of the connection."""
        match update:
            case Snapshot():
                self._show_snapshot(update)
            case ConnectionLost():
                self._print(update.sentence())
            case ConnectionRestored():
                self._print(update.sentence())
            case StreamGivenUp():
                pass

    def _show_snapshot(self, snapshot: Snapshot) -> None:
        overall = snapshot.overall_progress
        stage = (snapshot.overall_status, overall.current_phase, overall.stall is not None)
        line = plain_line(snapshot)
        due = line != self._last_line and self._now() - self._last_at >= _PLAIN_INTERVAL_SECONDS
        if stage == self._last_stage and not due:
            return
        self._last_stage, self._last_line, self._last_at = stage, line, self._now()
        self._print(line)
        if snapshot.is_terminal:
            for sentence in wording.failures(snapshot):
                self._print(f"✗ {sentence}")

    def _print(self, line: str) -> None:
        self._console.print(Text(self._prefix + line), soft_wrap=True)


def plain_line(snapshot: Snapshot) -> str:
    """One snapshot as a line, such as "62.5 %  😊 Face Detection – Analyzing Faces: 500 of 1,000 photos, …"."""
    overall = snapshot.overall_progress
    line = f"{wording.percentage(overall.percentage):>6}  {wording.headline(snapshot)}"
    phase = snapshot.current_phase()
    if snapshot.is_terminal or phase is None:
        return line
    if wording.is_discovering(snapshot):
        return f"{line}: looking for photos"
    parts = [wording.counted(phase)] if phase.progress.total else []
    if snapshot.overall_status == "running":
        stall = wording.stall(snapshot)
        parts += [stall] if stall else [wording.rate(phase.progress.images_per_minute), wording.time_left(snapshot)]
    if snapshot.stale:
        parts.append(wording.STALE)
    told = ", ".join(part for part in parts if part)
    return f"{line}: {told}" if told else line


def still_picture(snapshot: Snapshot, *, title: str) -> RenderableType:
    """One snapshot as the live view shows it, for printing once."""
    return Picture(title=title, snapshot=snapshot)


def _headline(snapshot: Snapshot) -> Text:
    style = _HEADLINE_STYLES.get(snapshot.overall_status, "bold")
    line = Text(wording.headline(snapshot), style=style)
    if wording.is_discovering(snapshot):
        line.append("  looking for photos …", style="not bold bright_black")
    return line


def _phase_table(snapshot: Snapshot, width: int) -> RenderableType:
    with_numbers, with_rate = width >= _NUMBERS_MINIMUM_WIDTH, width >= _RATE_MINIMUM_WIDTH
    with_estimate = width >= _ESTIMATE_MINIMUM_WIDTH
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(justify="right", no_wrap=True, width=7)
    if with_numbers:
        table.add_column(justify="right", no_wrap=True, min_width=11)
    if with_rate:
        table.add_column(justify="right", no_wrap=True, min_width=10)
    for phase in snapshot.phases.in_order():
        sign, style = _STATUS_SIGNS.get(phase.status, _WAITING_SIGN)
        waiting = phase.status == "pending"
        cells: list[RenderableType] = [
            Text(sign, style=style),
            Text(wording.SHORT_NAMES.get(phase.name, phase.name), style="bright_black" if waiting else ""),
            _bar(phase.progress.percentage, style=style),
            Text("" if waiting else wording.percentage(phase.progress.percentage)),
        ]
        if with_numbers:
            cells.append(Text("waiting", style="bright_black") if waiting else Text(_numbers(phase)))
        if with_rate:
            pace = _pace(phase, stalled=wording.stall(snapshot) != "", with_estimate=with_estimate)
            cells.append(Text(pace, style="bright_black"))
        table.add_row(*cells)
    return table


def _numbers(phase: Phase) -> str:
    return f"{wording.count(phase.progress.current)}/{wording.count(phase.progress.total)}"


def _pace(phase: Phase, *, stalled: bool, with_estimate: bool) -> str:
    """How fast a phase goes while it runs, how long it took once it is over."""
    if phase.status in {"running", "processing"}:
        if stalled:
            return "stalled"
        left = wording.estimate(phase.progress.eta_seconds) if with_estimate else ""
        return " · ".join(filter(None, (wording.rate(phase.progress.images_per_minute), left)))
    if phase.elapsed_seconds is not None and phase.status != "pending":
        return wording.duration(phase.elapsed_seconds)
    return ""


def _bar(percentage: float, *, style: str) -> ProgressBar:
    return ProgressBar(total=100.0, completed=percentage, complete_style=style, finished_style=style)


def _tally(snapshot: Snapshot) -> str:
    """What came out so far, in numbers."""
    training, faces, clustering = snapshot.phases.in_order()
    parts = []
    if training.progress.skipped:
        parts.append(f"{wording.count(training.progress.skipped)} known already")
    if failed := max(training.failed or 0, faces.failed or 0):
        parts.append(f"{wording.count(failed)} failed")
    if faces.stats and faces.stats.faces_detected is not None and faces.status != "pending":
        parts.append(f"{wording.count(faces.stats.faces_detected)} faces")
    if clustering.stats and clustering.stats.clusters_created is not None and clustering.status == "completed":
        parts.append(f"{wording.count(clustering.stats.clusters_created)} groups")
    return " · ".join(parts)
