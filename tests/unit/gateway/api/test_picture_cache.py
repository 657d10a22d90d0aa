"""Pictures on disk: kept within a number of bytes, those not used for longest going first."""

import os
from pathlib import Path

from triptych_gateway.api.picture_cache import PictureCache

PICTURE = b"x" * 100


def keys(count: int) -> list[str]:
    return [f"{number:032x}" for number in range(count)]


def age(cache: Path, key: str, seconds: int) -> None:
    """Make a picture one that was used last so long ago."""
    path = cache / key[:2] / f"{key}.jpg"
    now = path.stat().st_mtime
    os.utime(path, (now - seconds, now - seconds))


def test_a_picture_is_there_until_it_must_go(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path, most_bytes=1000)
    kept = keys(10)
    for number, key in enumerate(kept):
        cache.put(key, PICTURE, times_emptied=0)
        age(tmp_path, key, 100 - number)
    assert all(cache.get(key) == PICTURE for key in kept)
    for number, key in enumerate(kept):
        age(tmp_path, key, 100 - number)
    assert cache.get(kept[0]) == PICTURE, "used last now"

    cache.put("f" * 32, PICTURE, times_emptied=0)

    there = [key for key in kept if cache.get(key) is not None]
    assert there == [kept[0], *kept[3:]]
    assert cache.get("f" * 32) == PICTURE


def test_what_was_there_at_the_start_and_what_others_wrote_counts(tmp_path: Path) -> None:
    one, other = (PictureCache(tmp_path, most_bytes=1000) for _ in range(2))
    for key in keys(10):
        one.put(key, PICTURE, times_emptied=0)

    other.put("f" * 32, PICTURE, times_emptied=0)

    assert sum(path.stat().st_size for path in tmp_path.rglob("*.jpg")) == 900


def test_a_picture_larger_than_all_and_a_cache_of_nothing_keep_nothing(tmp_path: Path) -> None:
    for cache in (PictureCache(tmp_path, most_bytes=0), PictureCache(tmp_path, most_bytes=99)):
        cache.put("0" * 32, PICTURE, times_emptied=0)
        assert cache.get("0" * 32) is None
    assert list(tmp_path.rglob("*")) == []


def test_a_directory_that_cannot_be_written_costs_only_the_keeping(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = PictureCache(tmp_path / "file", most_bytes=1000)

    cache.put("0" * 32, PICTURE, times_emptied=0)

    assert cache.get("0" * 32) is None
