"""What a grouping takes of memory is known beforehand, and a library that does not fit is refused with the figure."""

import subprocess
import sys
from pathlib import Path

import pytest

from triptych_cluster import memory
from triptych_cluster.memory import MemoryTooSmallError, peak_bytes, plan
from triptych_cluster.neighbours.graph import Search

MEBIBYTE = 2**20
NO_LIMIT = 2**60


def measured_peak(kind: str, faces: int, dimension: int, search: str, keeps: str, *directory: str) -> int:
    """The most memory that a process of its own took for it, in bytes."""
    script = Path(__file__).with_name("measured_peak.py")
    arguments = [kind, str(faces), str(dimension), search, keeps, *directory]
    ran = subprocess.run([sys.executable, str(script), *arguments], check=True, capture_output=True, text=True)
    return int(ran.stdout)


@pytest.mark.parametrize(
    ("kind", "faces", "dimension", "search", "keeps"),
    [
        ("people", 4000, 256, "exact", "nothing"),
        ("copies", 4000, 256, "exact", "keeping"),
        ("people", 8000, 256, "approximate", "nothing"),
        ("person", 8000, 256, "approximate", "keeping"),
        ("people", 20_000, 256, "approximate", "increment"),
    ],
)
def test_no_library_takes_more_than_was_said(kind: str, faces: int, dimension: int, search: Search, keeps: str) -> None:
    kept_count = {"nothing": None, "keeping": 0, "increment": faces}[keeps]
    told = peak_bytes(faces, dimension, 16, search=search, mapped=False, kept_count=kept_count)
    took = measured_peak(kind, faces, dimension, search, keeps)
    assert took <= told
    # A bound that nothing comes near would refuse what fits.
    assert took >= told / 6


def test_mapped_vectors_are_no_memory_of_the_process(tmp_path: Path) -> None:
    told = peak_bytes(6000, 512, 16, search="approximate", mapped=True)
    took = measured_peak("people", 6000, 512, "approximate", "nothing", str(tmp_path))
    assert took <= told
    assert told < peak_bytes(6000, 512, 16, search="approximate", mapped=False)


def test_memory_grows_with_every_measure_of_a_library() -> None:
    smallest = peak_bytes(1000, 128, 8, search="approximate", mapped=False)
    assert peak_bytes(2000, 128, 8, search="approximate", mapped=False) > smallest
    assert peak_bytes(1000, 256, 8, search="approximate", mapped=False) > smallest
    assert peak_bytes(1000, 128, 16, search="approximate", mapped=False) > smallest


def test_keeping_takes_memory_and_more_where_something_was_kept() -> None:
    nothing, keeping, increment = (
        peak_bytes(50_000, 512, 16, search="approximate", mapped=False, kept_count=kept) for kept in (None, 0, 50_000)
    )
    assert nothing < keeping < increment


def test_a_hundred_thousand_faces_take_less_than_promised() -> None:
    assert peak_bytes(100_000, 512, 16, search="approximate", mapped=False, kept_count=100_000) < 1.2e9


def test_what_fits_is_done_as_it_is_best() -> None:
    small = plan(5000, 512, 16, limit_bytes=NO_LIMIT, mapped_above_bytes=None)
    assert (small.search, small.mapped) == ("exact", False)
    large = plan(50_000, 512, 16, limit_bytes=NO_LIMIT, mapped_above_bytes=None)
    assert (large.search, large.mapped) == ("approximate", False)


def test_large_vectors_are_mapped_where_that_is_wished() -> None:
    found = plan(50_000, 512, 16, limit_bytes=NO_LIMIT, mapped_above_bytes=102 * 10**6)
    assert found.mapped
    assert not plan(50_000, 512, 16, limit_bytes=NO_LIMIT, mapped_above_bytes=103 * 10**6).mapped


def test_what_does_not_fit_is_mapped_then_approximate_then_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "thread_count", lambda: 2)
    in_memory = peak_bytes(10_000, 512, 16, search="exact", mapped=False)
    mapped = peak_bytes(10_000, 512, 16, search="exact", mapped=True)
    least = peak_bytes(10_000, 512, 16, search="approximate", mapped=True)
    assert in_memory > mapped > least
    chosen = {
        limit: plan(10_000, 512, 16, limit_bytes=limit, mapped_above_bytes=None) for limit in (in_memory, mapped, least)
    }
    assert [(one.search, one.mapped) for one in chosen.values()] == [
        ("exact", False),
        ("exact", True),
        ("approximate", True),
    ]
    assert all(one.peak_bytes == limit for limit, one in chosen.items())
    with pytest.raises(MemoryTooSmallError, match=r"10,000 faces takes .* MiB .* are allowed") as refusal:
        plan(10_000, 512, 16, limit_bytes=least - 1, mapped_above_bytes=None)
    assert refusal.value.needed_bytes == least


def test_where_the_graph_does_not_fit_nothing_is_kept() -> None:
    searches: tuple[Search, ...] = ("exact", "approximate")
    least = min(peak_bytes(10_000, 512, 16, search=search, mapped=True, kept_count=10_000) for search in searches)
    fits = plan(10_000, 512, 16, limit_bytes=least, mapped_above_bytes=None, kept_count=10_000)
    does_not = plan(10_000, 512, 16, limit_bytes=least - 1, mapped_above_bytes=None, kept_count=10_000)
    assert (fits.keeps, does_not.keeps) == (True, False)
    assert not plan(10_000, 512, 16, limit_bytes=NO_LIMIT, mapped_above_bytes=None).keeps
