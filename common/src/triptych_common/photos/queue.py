"""Photos between their arrival and the model: whose turn it is to be decoded, and whose to be computed.

Threads take from it: those that decode take references and give pictures back, those that compute take micro-batches
out of what is decoded. So neither waits for the event loop. Turns go round by request and are a micro-batch long, both
in decoding and in computing: a request of one photo waits for at most one micro-batch of each other request.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from triptych_common.media import DecodedImage, ImageReference, LoadedImage
from triptych_common.tracing import current_traceparent

LINGER_SECONDS: Final = 0.5
"""How long a decoded photo waits at most for others to fill its micro-batch while the model has nothing to do."""
_LEAST_SHARE: Final = 4
"""Photos below which what is left is not shared out any further."""
_FORGETTING: Final = 0.95
"""What is left, with each photo that is smaller, of the size that the next ones are expected to have."""

Call: TypeAlias = Callable[[], None]
"""Something else to do on a thread that computes."""


@dataclass(eq=False)
class PhotoRequest:
    """One request's photos that have not reached the model. Only its queue changes it."""

    undecoded: deque[ImageReference]
    traceparent: str = ""
    """Trace context of whoever asked; empty where nobody traces it."""
    decoding: int = 0
    decoded: deque["DecodedPhoto"] = field(default_factory=deque)
    unread: int = 0
    """Photos in the model, and outcomes that the request's reader has not taken."""
    is_gone: bool = False
    """Nobody waits for its outcomes any more."""

    @property
    def is_whole(self) -> bool:
        """Whether all that is left of it is decoded."""
        return not self.undecoded and not self.decoding


@dataclass(frozen=True, kw_only=True)
class DecodedPhoto:
    """A photo on its way to the model, or with the reason why it will not get there."""

    request: PhotoRequest
    loaded: LoadedImage
    since: float
    """``time.monotonic()`` when it was decoded."""

    @property
    def size_bytes(self) -> int:
        """Of its pixels in memory."""
        return self.loaded.image.pixels.nbytes if isinstance(self.loaded.image, DecodedImage) else 0


class PhotoQueue:
    """What waits, and whose turn it is. Thread-safe.

    At most ``photos_ahead`` photos are decoded or being decoded before they reach the model. Decoded pixels, with those
    in the model, take at most ``max_bytes``; more only where one photo alone does, or where those that are being
    decoded turn out larger than the ones before them. A request of which ``most_unread`` photos are in the model, or
    have an outcome that its reader has not taken, is passed over. The last photos of all are shared out to as many
    threads as compute (``lanes``), so that these end together (guided self-scheduling, Polychronopoulos and Kuck 1987).
    """

    def __init__(
        self, *, micro_batch: int, photos_ahead: int, most_unread: int, max_bytes: int, lanes: int = 1
    ) -> None:
        self._micro_batch = micro_batch
        self._lanes = lanes
        self._photos_ahead = max(photos_ahead, micro_batch)
        self._most_unread = most_unread
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._may_decode = threading.Condition(self._lock)
        self._may_compute = threading.Condition(self._lock)
        self._to_decode: deque[PhotoRequest] = deque()
        """The first one's turn it is."""
        self._turn_left = micro_batch
        self._to_compute: deque[PhotoRequest] = deque()
        self._calls: deque[Call] = deque()
        self._is_closed = False
        self._expected_bytes = 0.0
        """What the next picture is expected to take: as much as the largest of late."""
        self.decoding = 0
        """Photos that are being read and decoded."""
        self.decoded = 0
        """Photos that wait for the model."""
        self.held_bytes = 0
        """Decoded pixels, waiting or in the model."""

    @property
    def undecoded(self) -> int:
        """Photos that wait to be decoded."""
        with self._lock:
            return sum(len(request.undecoded) for request in self._to_decode)

    @property
    def expected_bytes(self) -> int:
        """What the next picture is expected to take in memory."""
        return round(self._expected_bytes)

    def put(self, references: Sequence[ImageReference]) -> PhotoRequest:
        """Let the photos of a request wait; its turn comes after those of the requests that are here."""
        request = PhotoRequest(undecoded=deque(references), traceparent=current_traceparent())
        with self._lock:
            self._to_decode.append(request)
            self._to_compute.append(request)
            self._may_decode.notify_all()
        return request

    def withdraw(self, request: PhotoRequest) -> None:
        """Forget a request: what is being decoded or computed of it is dropped when that ends."""
        with self._lock:
            request.is_gone = True
            request.undecoded.clear()
            for photo in request.decoded:
                self._let_go(photo)
            request.decoded.clear()
            if request in self._to_decode:
                self._end_turn(request)
            self._to_compute.remove(request)
            self._may_decode.notify_all()
            # What it left of a micro-batch may be all that there is now.
            self._may_compute.notify()

    def was_read(self, request: PhotoRequest, outcomes: int) -> None:
        """The request's reader took so many outcomes."""
        with self._lock:
            request.unread -= outcomes
            self._may_decode.notify_all()

    def call(self, function: Call) -> None:
        """Have a function called on a thread that computes, before the next micro-batch."""
        with self._lock:
            self._calls.append(function)
            self._may_compute.notify()

    def close(self) -> None:
        """Let every thread that waits here go; what waits is dropped."""
        with self._lock:
            self._is_closed = True
            self._may_decode.notify_all()
            self._may_compute.notify_all()

    def next_to_decode(self) -> tuple[PhotoRequest, ImageReference] | None:
        """Wait for a photo that is to be decoded; None where the queue is closed."""
        with self._lock:
            while not self._is_closed:
                request = self._turn_to_decode() if self._has_room() else None
                if request is not None:
                    reference = request.undecoded.popleft()
                    request.decoding += 1
                    self.decoding += 1
                    self._turn_left -= 1
                    if not request.undecoded:
                        self._end_turn(request)
                    return request, reference
                self._may_decode.wait()
            return None

    def give_decoded(self, request: PhotoRequest, loaded: LoadedImage) -> None:
        """A photo that was taken by ``next_to_decode`` is decoded, or cannot be."""
        photo = DecodedPhoto(request=request, loaded=loaded, since=time.monotonic())
        with self._lock:
            request.decoding -= 1
            self.decoding -= 1
            if photo.size_bytes:
                self._expected_bytes = max(photo.size_bytes, _FORGETTING * self._expected_bytes)
            if not request.is_gone:
                request.decoded.append(photo)
                self.decoded += 1
                self.held_bytes += photo.size_bytes
            self._may_compute.notify()

    def next_to_compute(self, size: Callable[[], int]) -> list[DecodedPhoto] | Call | None:
        """Wait for a micro-batch of at most ``size()`` photos, or a call; None where the queue is closed.

        ``done_with`` is to follow for a micro-batch.
        """
        with self._lock:
            while not self._is_closed:
                if self._calls:
                    return self._calls.popleft()
                now = time.monotonic()
                if batch := self._micro_batch_of(size(), now):
                    # What is left may be enough for another thread.
                    self._may_compute.notify()
                    self._may_decode.notify_all()
                    return batch
                oldest = min((request.decoded[0].since for request in self._to_compute if request.decoded), default=now)
                self._may_compute.wait(oldest + LINGER_SECONDS - now if self.decoded else None)
            return None

    def done_with(self, batch: Sequence[DecodedPhoto]) -> None:
        """A micro-batch has left the model."""
        with self._lock:
            self.held_bytes -= sum(photo.size_bytes for photo in batch)
            self._may_decode.notify_all()

    def _has_room(self) -> bool:
        if self.decoding + self.decoded >= self._photos_ahead:
            return False
        expected = self.held_bytes + (self.decoding + 1) * self._expected_bytes
        return expected <= self._max_bytes or (self.decoding == 0 and self.held_bytes == 0)

    def _turn_to_decode(self) -> PhotoRequest | None:
        """The request whose photo is decoded next; a reader that does not read loses its turn."""
        for _ in range(len(self._to_decode)):
            request = self._to_decode[0]
            if self._turn_left > 0 and request.unread < self._most_unread:
                return request
            self._to_decode.rotate(-1)
            self._turn_left = self._micro_batch
        if self._to_decode and self._to_decode[0].unread < self._most_unread:
            return self._to_decode[0]
        return None

    def _end_turn(self, request: PhotoRequest) -> None:
        if self._to_decode[0] is request:
            self._turn_left = self._micro_batch
        self._to_decode.remove(request)

    def _micro_batch_of(self, size: int, now: float) -> list[DecodedPhoto]:
        """Photos of the request whose turn it is, and of those after it where it does not fill a micro-batch.

        Empty where it is better to wait for what is being decoded.
        """
        first = next((one for one in self._to_compute if self._is_ripe(one, size, now)), None)
        if first is None:
            nothing_comes = self.decoding == 0 and not (self._has_room() and self._turn_to_decode())
            if self.decoded < size and not nothing_comes:
                return []
        else:
            self._to_compute.remove(first)
            self._to_compute.appendleft(first)
        if not self._to_decode and not self.decoding:
            size = min(size, max(_LEAST_SHARE, math.ceil(self.decoded / self._lanes)))
        batch: list[DecodedPhoto] = []
        for request in list(self._to_compute):
            taken = 0
            while request.decoded and len(batch) < size:
                batch.append(request.decoded.popleft())
                taken += 1
            if taken:
                request.unread += taken
                self._to_compute.remove(request)
                self._to_compute.append(request)
        self.decoded -= len(batch)
        return batch

    def _is_ripe(self, request: PhotoRequest, size: int, now: float) -> bool:
        """Whether a request's photos are worth a micro-batch by themselves."""
        if not request.decoded:
            return False
        return len(request.decoded) >= size or request.is_whole or now >= request.decoded[0].since + LINGER_SECONDS

    def _let_go(self, photo: DecodedPhoto) -> None:
        self.decoded -= 1
        self.held_bytes -= photo.size_bytes
