"""The data directory: where it is, who may look into it, and that one stack at a time has it."""

import os
import stat
from pathlib import Path

import pytest

from triptych_gateway.cli.stack.data_directory import DataDirectory, write_private
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.record import ProcessRecord, StackRecord, running_stack


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_chosen_wins_over_the_environment(tmp_path: Path) -> None:
    environment = {"TRIPTYCH_DATA_DIR": str(tmp_path / "named")}
    assert DataDirectory.resolve(tmp_path / "chosen", environment).root == tmp_path / "chosen"
    assert DataDirectory.resolve(None, environment).root == tmp_path / "named"


def test_the_standard_place_depends_on_being_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert DataDirectory.resolve(None, {}).root == Path("/var/lib/triptych")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert DataDirectory.resolve(None, {}).root == tmp_path / ".local" / "share" / "triptych"


def test_directories_with_secrets_are_closed_even_if_they_had_been_open(tmp_path: Path) -> None:
    directory = DataDirectory(root=tmp_path / "data")
    directory.create()
    directory.run.chmod(0o755)
    directory.create()
    assert [mode_of(path) for path in (directory.run, directory.nats, directory.logs)] == [0o700] * 3


def test_a_data_directory_that_is_a_file_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("", encoding="utf-8")
    with pytest.raises(StackError, match=r"cannot be used.*--data-dir"):
        DataDirectory(root=tmp_path / "data").create()


async def test_a_second_stack_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    directory = DataDirectory(root=tmp_path / "data")
    directory.create()
    assert directory.holder() is None
    async with directory.locked():
        assert directory.holder() == os.getpid()
        with pytest.raises(StackError, match=f"process {os.getpid()}"):
            async with directory.locked():
                pytest.fail("the lock was given twice")
    assert directory.holder() is None
    async with directory.locked():
        assert directory.holder() == os.getpid()


def test_a_private_file_is_replaced_whole_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o644)
    write_private(path, "new")
    assert (path.read_text(encoding="utf-8"), mode_of(path)) == ("new", 0o600)
    assert os.listdir(tmp_path) == ["secret"]  # noqa: PTH208


async def test_a_record_counts_only_while_its_stack_holds_the_directory(tmp_path: Path) -> None:
    directory = DataDirectory(root=tmp_path / "data")
    directory.create()
    record = StackRecord(
        process_id=os.getpid(),
        http_url="http://127.0.0.1:1",
        nats_url="nats://u:p@127.0.0.1:2",
        database_url="postgresql:///x",
        addresses={"embedder": "127.0.0.1:3"},
        media_roots=("/photos",),
        processes={"embedder": ProcessRecord(process_id=4, created_at_seconds=5.5)},
    )
    record.write(directory.record)
    assert StackRecord.read(directory.record) == record
    assert running_stack(directory) is None
    async with directory.locked():
        assert running_stack(directory) == record


def test_a_record_of_another_layout_is_none(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text('{"process_id": 1}', encoding="utf-8")
    assert StackRecord.read(tmp_path / "stack.json") is None
