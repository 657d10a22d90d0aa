"""Whose turn it is, by request and micro-batch, in decoding and in computing; what waits to be full, and what not."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from triptych_common.media import DecodedImage, ImageFacts, ImageReference, LoadedImage
from triptych_common.photos.queue import DecodedPhoto, PhotoQueue, PhotoRequest

_BYTES = 3
"""Of a picture of one pixel."""


def _queue(
    *, micro_batch: int = 2, photos_ahead: int = 100, most_unread: int = 100, max_bytes: int = 1000, lanes: int = 1
) -> PhotoQueue:
    return PhotoQueue(
        micro_batch=micro_batch,
        photos_ahead=photos_ahead,
        most_unread=most_unread,
        max_bytes=max_bytes,
        lanes=lanes,
    )


def _put(queue: PhotoQueue, first: int, photos: int) -> PhotoRequest:
    return queue.put([ImageReference(item_id=first + number, content=b"") for number in range(photos)])


def _take(queue: PhotoQueue) -> tuple[PhotoRequest, int]:
    taken = queue.next_to_decode()
    assert taken is not None
    return taken[0], taken[1].item_id


def _give(queue: PhotoQueue, request: PhotoRequest, item_id: int) -> None:
    facts = ImageFacts(content_sha256=b"", width=1, height=1, size_bytes=1, taken_at="", format="PPM")
    image = DecodedImage(pixels=np.zeros((1, 1, 3), np.uint8), facts=facts)
    queue.give_decoded(request, LoadedImage(item_id=item_id, image=image, seconds=0.0))


def _decode(queue: PhotoQueue, photos: int) -> list[int]:
    """Decode so many photos, one after the other; returns their numbers."""
    decoded = []
    for _ in range(photos):
        request, item_id = _take(queue)
        _give(queue, request, item_id)
        decoded.append(item_id)
    return decoded


def _numbers(batch: Sequence[DecodedPhoto] | object) -> list[int]:
    assert isinstance(batch, list)
    return [photo.loaded.item_id for photo in batch]


def _compute(queue: PhotoQueue, size: int = 2) -> list[int]:
    batch = queue.next_to_compute(lambda: size)
    assert isinstance(batch, list)
    queue.done_with(batch)
    return _numbers(batch)


def test_requests_take_turns_by_micro_batch_in_decoding_and_in_computing() -> None:
    queue = _queue()
    _put(queue, 0, 6)
    _put(queue, 10, 3)
    _put(queue, 20, 6)
    order = [0, 1, 10, 11, 20, 21, 2, 3, 12, 22, 23, 4, 5, 24, 25]
    assert _decode(queue, 15) == order
    batches = [_compute(queue) for _ in range(8)]
    # The second request's last photo does not fill a micro-batch: the one whose turn is next fills it.
    assert batches[:3] == [[0, 1], [10, 11], [20, 21]]
    assert sorted(number for batch in batches for number in batch) == sorted(order)
    assert {len(batch) for batch in batches[:-1]} == {2}


def test_a_newcomer_waits_for_one_micro_batch_of_each_other_request() -> None:
    queue = _queue()
    _put(queue, 0, 100)
    assert _decode(queue, 3) == [0, 1, 2]
    _put(queue, 200, 1)
    assert _decode(queue, 2) == [3, 200]
    assert _compute(queue) == [0, 1]
    assert 200 in _compute(queue)


def test_the_last_photos_are_shared_out_to_all_that_compute() -> None:
    queue = _queue(micro_batch=16, lanes=2)
    _put(queue, 0, 40)
    _decode(queue, 30)
    assert len(_compute(queue, 16)) == 16, "ten are still to be decoded"
    _decode(queue, 10)

    # Half of what is left each time, and no fewer than four.
    assert [len(_compute(queue, 16)) for _ in range(4)] == [12, 6, 4, 2]


def test_a_micro_batch_waits_for_what_is_being_decoded() -> None:
    queue = _queue(micro_batch=3)
    _put(queue, 0, 3)
    _decode(queue, 2)
    request, last = _take(queue)
    computed: list[int] = []
    thread = threading.Thread(target=lambda: computed.extend(_compute(queue, 3)))
    thread.start()
    _give(queue, request, last)
    thread.join(30)
    assert computed == [0, 1, 2]


def test_what_is_slow_to_decode_holds_nothing_up_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triptych_common.photos.queue.LINGER_SECONDS", 0.01)
    queue = _queue(micro_batch=3)
    _put(queue, 0, 3)
    _decode(queue, 2)
    _take(queue)
    assert _compute(queue, 3) == [0, 1]


def test_pixels_that_leave_no_room_go_to_the_model_before_the_micro_batch_is_full() -> None:
    queue = _queue(micro_batch=8, max_bytes=2 * _BYTES)
    _put(queue, 0, 8)
    assert _decode(queue, 2) == [0, 1]
    assert queue.held_bytes == 2 * _BYTES
    assert _compute(queue, 8) == [0, 1]
    assert queue.held_bytes == 0
    assert _decode(queue, 1) == [2]


def test_a_request_whose_reader_does_not_read_is_passed_over() -> None:
    queue = _queue(most_unread=2)
    slow = _put(queue, 0, 10)
    _decode(queue, 2)
    assert _compute(queue) == [0, 1]
    _put(queue, 20, 2)
    assert _decode(queue, 2) == [20, 21]
    queue.was_read(slow, 2)
    assert _decode(queue, 1) == [2]


def test_a_withdrawn_request_leaves_nothing_behind() -> None:
    queue = _queue()
    leaving = _put(queue, 0, 10)
    _decode(queue, 3)
    request, item_id = _take(queue)
    queue.withdraw(leaving)
    _give(queue, request, item_id)
    assert (queue.undecoded, queue.decoding, queue.decoded, queue.held_bytes) == (0, 0, 0, 0)
    _put(queue, 20, 1)
    assert _decode(queue, 1) == [20]
    assert _compute(queue) == [20]


def test_a_closed_queue_lets_everybody_go() -> None:
    queue = _queue()
    answers: list[object] = []
    threads = [
        threading.Thread(target=lambda: answers.append(queue.next_to_decode())),
        threading.Thread(target=lambda: answers.append(queue.next_to_compute(lambda: 1))),
    ]
    for thread in threads:
        thread.start()
    queue.close()
    for thread in threads:
        thread.join(30)
    assert answers == [None, None]
