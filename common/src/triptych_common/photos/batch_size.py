"""How many photos go through the model at once: fewer where the device's memory is short, more again when it lasts."""

import threading
from typing import Final

_SUCCESSES_BEFORE_GROWING: Final = 16
_MOST_PATIENCE: Final = 1024
"""Successes, however often the device was out of memory, after which more photos are tried again."""


class BatchSize:
    """A size between one and ``largest``: halved when the device is out of memory, doubled after enough successes.

    Each time that the device is out of memory, twice as many successes are waited for before more are tried, so that a
    size that never fits is seldom tried. Thread-safe.
    """

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self._lock = threading.Lock()
        self._now = largest
        self._successes = 0
        self._patience = _SUCCESSES_BEFORE_GROWING
        self.halvings = 0
        """Times that the device was out of memory."""

    @property
    def now(self) -> int:
        """Photos to give the model at once, ≥ 1."""
        return self._now

    def did_not_fit(self, photos: int) -> int:
        """So many photos did not fit; returns how many to try instead, ≥ 1."""
        with self._lock:
            if self.halvings:
                self._patience = min(self._patience * 2, _MOST_PATIENCE)
            self.halvings += 1
            self._successes = 0
            self._now = min(self._now, max(1, photos // 2))
            return self._now

    def fitted(self, photos: int) -> None:
        """So many photos went through at once."""
        if photos < self._now or self._now == self.largest:
            return
        with self._lock:
            self._successes += 1
            if self._successes >= self._patience:
                self._successes = 0
                self._now = min(self._now * 2, self.largest)
