"""What the live view and the plain lines show."""

import io
import json
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from triptych_gateway.cli.rest.answers import Snapshot
from triptych_gateway.cli.rest.following import ConnectionLost, ConnectionRestored
from triptych_gateway.cli.terminal import wording
from triptych_gateway.cli.terminal.progress_view import (
    LiveView,
    PlainView,
    plain_line,
    progress_view,
    still_picture,
)

if TYPE_CHECKING:
    from tests.unit.gateway.cli.conftest import ContractGateway


def _snapshots(gateway: "ContractGateway") -> list[Snapshot]:
    return [Snapshot.model_validate(each) for each in gateway.snapshots]


def _console(*, terminal: bool, width: int = 90) -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    console = Console(file=written, width=width, force_terminal=terminal, color_system=None, _environ={"TERM": "xterm"})
    return console, written


def _shown(snapshot: Snapshot, width: int = 90) -> str:
    console, written = _console(terminal=True, width=width)
    console.print(still_picture(snapshot, title="Session 7 · holiday"))
    return written.getvalue()


def test_the_picture_holds_all_three_phases_rate_and_remaining_time(gateway: "ContractGateway") -> None:
    shown = _shown(_snapshots(gateway)[2])
    lines = shown.splitlines()
    assert "Session 7 · holiday" in lines[0]
    assert lines[0].rstrip().endswith("0:04")
    assert "😊 Face Detection – Analyzing Faces" in lines[2]
    assert "62.5 %" in lines[3]
    assert "about 30 s left" in lines[3]
    assert "100/100" in lines[5]
    assert "50/100" in lines[6]
    assert "600/min" in lines[6]
    assert "waiting" in lines[7]
    assert "10 known already · 2 failed · 20 faces" in shown


@pytest.mark.parametrize("width", [30, 44, 64, 88, 200])
def test_no_line_is_wider_than_the_terminal(gateway: "ContractGateway", width: int) -> None:
    for snapshot in _snapshots(gateway):
        assert max(map(len, _shown(snapshot, width).splitlines())) <= width


def test_a_stall_stands_in_place_of_the_remaining_time(gateway: "ContractGateway") -> None:
    stall = {"phase": "face_detection", "since": "2026-01-12T10:00:00Z", "seconds": 40}
    stall["message"] = "no progress for 40 s: facedetect is not answering"
    gateway.snapshots[2]["overallProgress"]["stall"] = stall
    snapshot = _snapshots(gateway)[2]
    shown = _shown(snapshot)
    assert "⚠ no progress for 40 s: facedetect is not answering" in shown
    assert "left" not in shown
    assert "600/min" not in shown
    assert plain_line(snapshot).endswith("50 of 100 photos, no progress for 40 s: facedetect is not answering")


def test_a_stale_answer_says_so(gateway: "ContractGateway") -> None:
    gateway.snapshots[2]["stale"] = True
    snapshot = _snapshots(gateway)[2]
    assert "⚠ these numbers may lag behind the work" in _shown(snapshot)
    assert plain_line(snapshot).endswith("about 30 s left, these numbers may lag behind the work")


def test_remaining_time_is_a_range_while_it_is_uncertain(gateway: "ContractGateway") -> None:
    gateway.snapshots[2]["overallProgress"] |= {"etaSeconds": 240, "etaLowSeconds": 120, "etaHighSeconds": 300}
    assert "2–5 min left" in _shown(_snapshots(gateway)[2])


def test_a_stall_and_its_end_are_lines_at_once(gateway: "ContractGateway") -> None:
    console, written = _console(terminal=False, width=200)
    going, stalled = _snapshots(gateway)[2], json.loads(json.dumps(gateway.snapshots[2]))
    stalled["overallProgress"]["stall"] = {"phase": "face_detection", "seconds": 31, "message": "no progress for 31 s"}
    view = PlainView(console, now=lambda: 0.0)
    for snapshot in (going, Snapshot.model_validate(stalled), going):
        view.show(snapshot)
    assert ["no progress" in line for line in written.getvalue().splitlines()] == [False, True, False]


def test_a_failed_phase_is_named_with_its_error(gateway: "ContractGateway") -> None:
    gateway.play_failure()
    shown = _shown(_snapshots(gateway)[-1])
    assert "✗ Clustering failed" in shown
    assert "✗ Clustering: the clusterer raised ValueError (internal)" in shown
    assert "100 %" not in shown.splitlines()[3]


def test_a_terminal_gets_bars_and_anything_else_lines() -> None:
    assert isinstance(progress_view(_console(terminal=True)[0], title=""), LiveView)
    assert isinstance(progress_view(_console(terminal=False)[0], title=""), PlainView)


def test_the_live_view_ends_with_the_terminal_picture_and_tells_of_an_outage(gateway: "ContractGateway") -> None:
    console, written = _console(terminal=True)
    with progress_view(console, title="Session 7") as view:
        view.show(_snapshots(gateway)[1])
        view.show(ConnectionLost(reason="no gateway answers", patience_seconds=60.0))
        view._live.refresh()  # type: ignore[attr-defined]
        assert "no gateway answers; trying again for 60 s" in written.getvalue()
        view.show(ConnectionRestored(away_seconds=2.0))
        view.show(_snapshots(gateway)[-1])
    assert "✓ All Phases Complete" in written.getvalue()


def test_lines_come_with_each_phase_and_at_most_every_two_seconds_between(gateway: "ContractGateway") -> None:
    console, written = _console(terminal=False)
    clock = iter([0.0, 0.0, 1.0, 1.9, 2.0, 2.0, 2.5, 2.5, 2.6, 2.6]).__next__
    running = gateway.snapshots[1]
    view = PlainView(console, now=clock)
    for done in (10, 20, 30, 40):
        running["phases"]["training"]["progress"]["current"] = done
        view.show(Snapshot.model_validate(running))
    view.show(_snapshots(gateway)[2])
    view.show(_snapshots(gateway)[3])
    lines = written.getvalue().splitlines()
    assert [line.split(":")[-1].split(",")[0].strip() for line in lines[:3]] == [
        "10 of 100 photos",
        "40 of 100 photos",
        "50 of 100 photos",
    ]
    assert lines[3] == " 100 %  ✓ All Phases Complete"
    assert len(lines) == 4


def test_a_line_that_says_nothing_new_is_not_repeated(gateway: "ContractGateway") -> None:
    console, written = _console(terminal=False)
    view = PlainView(console, now=iter(range(0, 1000, 10)).__next__)
    for _ in range(5):
        view.show(_snapshots(gateway)[1])
    assert len(written.getvalue().splitlines()) == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0 %"), (0.04, "0 %"), (0.1, "0.1 %"), (62.5, "62.5 %"), (99.99, "99.9 %"), (100.0, "100 %")],
)
def test_percentages_are_cut_and_never_rounded_up(value: float, shown: str) -> None:
    assert wording.percentage(value) == shown


@pytest.mark.parametrize(
    ("seconds", "low", "high", "shown"),
    [
        (None, None, None, ""),
        (3.0, None, None, "about 3 s left"),
        (42.0, 41.0, 43.0, "about 40 s left"),
        (200.0, 100.0, 420.0, "2–7 min left"),
        (90.0, 40.0, 150.0, "40 s–2 min left"),
        (86400.0, 80000.0, 90000.0, "about 24 h left"),
    ],
)
def test_remaining_time_is_as_precise_as_it_is_known(
    seconds: float | None, low: float | None, high: float | None, shown: str
) -> None:
    assert wording.remaining(seconds, low_seconds=low, high_seconds=high) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.42, "0.4 s"), (42.4, "42 s"), (59.7, "1 min"), (200, "3 min 20 s"), (3599.8, "1 h"), (3900, "1 h 5 min")],
)
def test_durations_carry_over(seconds: float, shown: str) -> None:
    assert wording.duration(seconds) == shown
