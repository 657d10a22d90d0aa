"""As many decoders as photos are decoded at once: each photo is handed to one, and one that is gone is replaced."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, LifoQueue
from typing import Final, Literal

from triptych_common.errors import AwayError, ConfigurationError
from triptych_common.logging import get_logger
from triptych_common.media.decoded import DecodedImage
from triptych_common.media.decoders.limits import DecoderLimits
from triptych_common.media.decoders.process import (
    COMMAND,
    DecoderDefectError,
    DecoderDiedError,
    DecoderProcess,
    DecoderStuckError,
)
from triptych_common.media.failures import ImageFailure
from triptych_common.media.scaling import Resolution

log = get_logger(__name__)

LostReason = Literal["crashed", "killed", "timed_out"]
_END_SECONDS: Final = 20.0


@dataclass(eq=False)
class _Place:
    """Where one photo at a time is decoded."""

    process: DecoderProcess | None = None


class Decoders:
    """Decodes photos in processes of their own, for as many threads as there are processes. Close it when done."""

    def __init__(self, limits: DecoderLimits, *, command: Sequence[str] = COMMAND) -> None:
        self._limits = limits
        self._command = command
        self._places = [_Place() for _ in range(limits.processes)]
        self._idle: LifoQueue[_Place] = LifoQueue()
        for place in self._places:
            self._idle.put(place)
        self._lock = threading.Lock()
        self._is_closed = False
        # Linux ends a decoder with the thread that started it: this one is there for as long as they are.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="decoders")
        self.lost: dict[LostReason, int] = {"crashed": 0, "killed": 0, "timed_out": 0}
        """Decoders that were lost and replaced, by why."""

    def start(self) -> None:
        """Begin to start all of them; ``until_ready`` is to follow. Raises ConfigurationError."""
        try:
            for place in self._places:
                self._start(place)
        except AwayError as error:
            self.close()
            raise ConfigurationError(error.message) from error

    def until_ready(self) -> None:
        """Wait until all can be asked. Raises ConfigurationError."""
        landlock = 0
        try:
            for place in self._places:
                landlock = self._until_ready(place)
        except AwayError as error:
            self.close()
            raise ConfigurationError(error.message) from error
        log.info(
            "decoders are ready",
            processes=self._limits.processes,
            memory_bytes=self.memory_bytes(),
            most_memory_bytes_each=self._limits.memory_bytes,
            landlock=landlock,
        )

    def decode(self, content: bytes, *, resolution: Resolution, max_pixels: int) -> DecodedImage:
        """Decode a photo, see ``Decode``; it waits for a place where more threads ask than there are processes.

        Raises ImageFailure, also decoder_crashed and decoder_timed_out, and AwayError where no decoder can be started
        (NO_DECODER) or all are being closed (STOPPING).
        """
        with self._a_place() as place:
            for is_last in (False, True):
                try:
                    return self._process_at(place).decode(content, resolution=resolution, max_pixels=max_pixels)
                except DecoderDiedError as died:
                    place.process = None
                    self._note_death(died)
                    # It may have been killed by something else, or broken by a photo before: a fresh one tells.
                    if is_last:
                        raise _crashed(died) from died
                except DecoderStuckError as stuck:
                    place.process = None
                    self._note("timed_out", code="decoder_timed_out", seconds=self._limits.seconds)
                    raise _timed_out(self._limits.seconds) from stuck
                except DecoderDefectError as defect:
                    log.exception("a decoder raised what none should")
                    raise ImageFailure(
                        "read_failed", "Decoding failed; the service's log has the details.", permanent=False
                    ) from defect
        raise AssertionError("the last try returns or raises")

    def memory_bytes(self) -> int:
        """Memory that they take, besides this process's own."""
        return sum(process.memory_bytes() for process in self._processes())

    def close(self) -> None:
        """End all of them; whoever waits for one is told AwayError (STOPPING)."""
        with self._lock:
            self._is_closed = True
        for process in self._processes():
            process.kill()
        # Whoever has a place gives it back, now that its process is gone.
        try:
            places = [self._idle.get(timeout=_END_SECONDS) for _ in self._places]
        except Empty:
            log.warning("a decoder does not end; it will when the kernel lets it")
            return
        for place in places:
            if place.process is not None:
                place.process.end()
                place.process = None
            self._idle.put(place)
        self._starter.shutdown()

    def _processes(self) -> list[DecoderProcess]:
        """Those that are there; any thread may replace one meanwhile."""
        return [process for place in self._places if (process := place.process) is not None]

    @contextmanager
    def _a_place(self) -> Iterator[_Place]:
        place = self._idle.get()
        try:
            yield place
        finally:
            self._idle.put(place)

    def _process_at(self, place: _Place) -> DecoderProcess:
        """The process of a place, started anew if need be. Raises AwayError."""
        if place.process is None:
            self._start(place)
            self._until_ready(place)
        assert place.process is not None  # noqa: S101 - it is ready
        return place.process

    def _start(self, place: _Place) -> None:
        """Raises AwayError."""
        with self._lock:
            self._require_open()
            try:
                place.process = self._starter.submit(DecoderProcess, self._command, self._limits).result()
            except OSError as error:
                raise AwayError(
                    f"No process that decodes photos can be started: {error.strerror}.", reason="NO_DECODER"
                ) from error

    def _until_ready(self, place: _Place) -> int:
        """Raises AwayError."""
        process = place.process
        assert process is not None  # noqa: S101 - it was started
        try:
            return process.until_ready()
        except (DecoderDiedError, DecoderStuckError) as error:
            place.process = None
            self._require_open()
            log.warning("a decoder does not start", how=str(error), trace=getattr(error, "trace", ""))
            raise AwayError(
                f"A process that decodes photos does not start: {error}; the log has the details.", reason="NO_DECODER"
            ) from error

    def _require_open(self) -> None:
        if self._is_closed:
            raise AwayError("The service is stopping.", reason="STOPPING")

    def _note_death(self, died: DecoderDiedError) -> None:
        """Raises AwayError where it died because all are being closed."""
        self._require_open()
        self._note("killed" if died.was_killed else "crashed", code="decoder_crashed", how=died.how, trace=died.trace)

    def _note(self, reason: LostReason, **details: object) -> None:
        with self._lock:
            self.lost[reason] += 1
        log.warning("a decoder was lost while it had a photo", reason=reason, **details)


def _crashed(died: DecoderDiedError) -> ImageFailure:
    if died.was_killed:
        message = f"What decodes photos was killed twice while it had this one ({died.how}), mostly for lack of memory."
    else:
        message = f"What decodes photos died of this one, twice ({died.how})."
    return ImageFailure("decoder_crashed", message, permanent=not died.was_killed)


def _timed_out(seconds: float) -> ImageFailure:
    return ImageFailure("decoder_timed_out", f"Decoding took longer than {seconds:g} s.", permanent=False)
