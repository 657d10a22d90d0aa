"""The log of a stack: columns, files, and what a line cannot do to a terminal."""

import io
from pathlib import Path

import pytest

from triptych_gateway.cli.stack.log_sink import LogSink


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_reach_their_file_and_the_column(tmp_path: Path) -> None:
    console = io.StringIO()
    sink = LogSink(tmp_path, console=console)
    sink.line("embedder", "loaded")
    sink.line("nats", "chatter", show=False)
    sink.close()
    assert console.getvalue() == "embedder   │ loaded\n"
    assert (tmp_path / "embedder.log").read_text(encoding="utf-8") == "loaded\n"
    assert (tmp_path / "nats.log").read_text(encoding="utf-8") == "chatter\n"
    assert (tmp_path / "nats.log").stat().st_mode & 0o777 == 0o600


def test_colour_is_for_terminals_that_want_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = FakeTerminal()
    sink = LogSink(tmp_path, console=console)
    sink.line("embedder", "loaded")
    assert console.getvalue().startswith("\x1b[")
    monkeypatch.setenv("NO_COLOR", "1")
    plain = FakeTerminal()
    plain_sink = LogSink(tmp_path, console=plain)
    plain_sink.line("embedder", "loaded")
    sink.close()
    plain_sink.close()
    assert "\x1b" not in plain.getvalue()


def test_a_line_cannot_steer_the_terminal(tmp_path: Path) -> None:
    console = io.StringIO()
    sink = LogSink(tmp_path, console=console)
    sink.line("embedder", "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J tab\there")
    sink.close()
    assert console.getvalue() == "embedder   │ red \\x1b]0;title\\x07 \\x9b2J tab\there\n"


def test_a_terminal_without_the_characters_gets_escapes(tmp_path: Path) -> None:
    raw = io.BytesIO()
    sink = LogSink(tmp_path, console=io.TextIOWrapper(raw, encoding="ascii"))
    sink.line("embedder", "é")
    sink.close()
    assert raw.getvalue() == b"embedder   \\u2502 \\xe9\n"


def test_a_terminal_that_has_gone_is_left_and_the_files_go_on(tmp_path: Path) -> None:
    console = io.StringIO()
    sink = LogSink(tmp_path, console=console)
    console.close()
    sink.line("embedder", "one")
    sink.line("embedder", "two")
    sink.close()
    assert (tmp_path / "embedder.log").read_text(encoding="utf-8") == "one\ntwo\n"
    assert "cannot be written to" in (tmp_path / "triptych.log").read_text(encoding="utf-8")


def test_a_large_file_is_kept_aside_at_the_start(tmp_path: Path) -> None:
    for generation in "abcd":
        with (tmp_path / "nats.log").open("wb") as file:
            file.write(generation.encode())
            file.truncate(10 * 1024 * 1024)
        sink = LogSink(tmp_path, console=None)
        sink.line("nats", "new")
        sink.close()
    kept = {path.name: path.read_bytes()[:1] for path in tmp_path.glob("nats.log.*")}
    assert kept == {"nats.log.1": b"d", "nats.log.2": b"c", "nats.log.3": b"b"}
    assert (tmp_path / "nats.log").read_text(encoding="utf-8") == "new\n"


def test_lines_of_a_full_disk_are_counted_and_stop_nobody(tmp_path: Path) -> None:
    console = io.StringIO()
    sink = LogSink(tmp_path, console=console)
    # On which no write ever finds room (full(4)).
    (tmp_path / "nats.log").symlink_to("/dev/full")
    for number in range(3):
        sink.line("nats", f"line {number}", show=False)
    sink.close()
    (tmp_path / "nats.log").unlink()
    sink.line("nats", "room again", show=False)
    sink.line("nats", "and on", show=False)
    sink.close()
    written = (tmp_path / "nats.log").read_text(encoding="utf-8").splitlines()
    assert written == ["(3 lines are missing: the disk was full, or could not be written.)", "room again", "and on"]
    assert console.getvalue() == "triptych   │ nats.log cannot be written: No space left on device.\n"
