"""What memory there is: of the machine, and of the control group that a container is in."""

import os
from pathlib import Path

import pytest

from triptych_common import process_memory
from triptych_common.process_memory import available_bytes, forget_peak, machine_bytes, peak_bytes, resident_bytes

_MEBIBYTE = 2**20


def _control_group(directory: Path, *, limit: str, used: int, files: int) -> None:
    (directory / "memory.max").write_text(f"{limit}\n")
    (directory / "memory.current").write_text(f"{used}\n")
    (directory / "memory.stat").write_text(f"anon {used - files}\ninactive_anon 7\ninactive_file {files}\n")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    one = (tmp_path, "memory.max", "memory.current", "inactive_file")
    monkeypatch.setattr(process_memory, "_CONTROL_GROUPS", (one,))
    return tmp_path


def test_without_a_control_group_it_is_the_machines(groups: Path) -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert machine_bytes() == machine
    assert resident_bytes() < available_bytes() < machine
    _control_group(groups, limit="max", used=10 * _MEBIBYTE, files=0)
    assert machine_bytes() == machine


def test_a_control_group_may_allow_less_and_files_in_memory_do_not_count(groups: Path) -> None:
    _control_group(groups, limit=str(100 * _MEBIBYTE), used=70 * _MEBIBYTE, files=20 * _MEBIBYTE)
    assert machine_bytes() == 100 * _MEBIBYTE
    assert available_bytes() == 50 * _MEBIBYTE
    _control_group(groups, limit=str(40 * _MEBIBYTE), used=70 * _MEBIBYTE, files=20 * _MEBIBYTE)
    assert available_bytes() == 0


def test_a_peak_is_seen_after_it_is_over_until_it_is_forgotten() -> None:
    forget_peak()
    before = peak_bytes()
    held = bytearray(os.urandom(_MEBIBYTE)) * 64
    del held
    assert peak_bytes() >= before + 60 * _MEBIBYTE
    forget_peak()
    assert peak_bytes() < before + 60 * _MEBIBYTE
