"""One process that decodes, as the service sees it: started, asked with a deadline, ended."""

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from triptych_common.media.decoded import DecodedImage
from triptych_common.media.decoders.limits import DecoderLimits
from triptych_common.media.decoders.messages import (
    Defect,
    FrameReader,
    Pixels,
    ProtocolError,
    Question,
    answer_from_json,
    frame,
    question_to_json,
)
from triptych_common.media.decoders.shared_bytes import SharedBytes
from triptych_common.media.failures import ImageFailure
from triptych_common.media.scaling import Resolution

COMMAND: Final = (sys.executable, "-P", "-m", "triptych_common.media.decoders.child")

START_SECONDS: Final = 120.0
"""A decoder that is not ready after so long will not be; it takes half a second where nothing else is at work."""
_END_SECONDS: Final = 10.0
_STEP_SECONDS: Final = 1.0
_TRACE_CHARACTERS: Final = 4000
_ENVIRONMENT: Final = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "LC_CTYPE")
"""What a decoder learns of the environment: no secret is among it."""
_SET: Final = {
    # NumPy's algebra would keep threads that nothing here uses.
    "OPENBLAS_NUM_THREADS": "1",
    # glibc's bounds for what it gives back at once, as high as it puts them by itself in a process that lives long:
    # else 34 MB are asked for anew with each photo for faces, a quarter of the time of its decoding.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20),
}
_FROM_OUTSIDE: Final = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""Signals by which no decoder ends itself."""


class DecoderDiedError(Exception):
    """The process ended before it answered, or said what no decoder says."""

    def __init__(self, how: str, *, trace: str, was_killed: bool) -> None:
        super().__init__(how)
        self.how = how
        """Such as "SIGSEGV"."""
        self.trace = trace
        """What it wrote to its standard error; empty where that is nothing."""
        self.was_killed = was_killed
        """Whether something else ended it, most often for lack of memory."""


class DecoderStuckError(Exception):
    """The process did not answer in time. It is ended."""


class DecoderDefectError(Exception):
    """The decoder raised what no decoder should; the message is its traceback. It goes on."""


class DecoderProcess:
    """A process that decodes one photo at a time, for one thread at a time. Ends with this process, or with ``end``.

    It ends with the thread that makes this object, too: Linux takes that for its parent.
    """

    def __init__(self, command: Sequence[str], limits: DecoderLimits) -> None:
        """Start it; it is still to become ready. Raises OSError."""
        self._limits = limits
        self._content, self._pixels = SharedBytes.create(), SharedBytes.create()
        self._channel, its_end = socket.socketpair()
        self._says, its_stderr = os.pipe()
        # What libraries print must not stop them once nobody reads it.
        os.set_blocking(its_stderr, False)
        os.set_blocking(self._says, False)
        inherited = (its_end.fileno(), self._content.descriptor, self._pixels.descriptor)
        arguments = (*inherited, os.getpid(), limits.memory_bytes, limits.max_pixels)
        try:
            self._process = subprocess.Popen(
                [*command, *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=its_stderr,
                pass_fds=inherited,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | _SET,
                cwd="/",
            )
        except OSError:
            self._close()
            raise
        finally:
            its_end.close()
            os.close(its_stderr)
        self.pid = self._process.pid
        self._frames = FrameReader(self._channel)
        self._readable = select.poll()
        self._readable.register(self._channel, select.POLLIN)

    def until_ready(self) -> int:
        """Wait until it can be asked; returns the version of Landlock that keeps it from files, 0 for none.

        Raises DecoderDiedError, DecoderStuckError.
        """
        said = self._receive(START_SECONDS)
        landlock = said.get("landlock")
        if not isinstance(landlock, int):
            raise self._died("it said something else than that it is ready")
        return landlock

    def decode(self, content: bytes, *, resolution: Resolution, max_pixels: int) -> DecodedImage:
        """Decode a photo, see ``Decode``. Raises ImageFailure, and DecoderDefectError.

        Raises DecoderDiedError and DecoderStuckError, after which the process is gone.
        """
        question = Question(size_bytes=len(content), resolution=resolution, max_pixels=max_pixels)
        self._hear()
        try:
            self._content.write(content)
            self._channel.sendall(frame(question_to_json(question)))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._died("") from error
        said = self._receive(self._limits.seconds)
        try:
            answer = answer_from_json(said, asked=question)
        except ProtocolError as error:
            raise self._died(str(error)) from error
        self._content.trim()
        match answer:
            case Pixels():
                return self._picture(answer)
            case Defect():
                raise DecoderDefectError(answer.trace)
            case ImageFailure():
                raise answer

    def _picture(self, answer: Pixels) -> DecodedImage:
        pixels = np.empty((answer.height, answer.width, 3), np.uint8)
        if not self._pixels.read_into(pixels.reshape(-1).data):
            raise self._died("there are fewer pixels than it said")
        pixels.flags.writeable = False
        self._pixels.trim()
        return DecodedImage(pixels=pixels, facts=answer.facts)

    def _receive(self, seconds: float) -> dict[str, Any]:
        """The next message. Raises DecoderDiedError, DecoderStuckError."""
        try:
            while True:
                self._wait(seconds)
                if (said := self._frames.receive()) is not None:
                    return said
        except ProtocolError as error:
            raise self._died(str(error)) from error
        except (EOFError, ConnectionResetError) as error:
            raise self._died("") from error

    def _wait(self, seconds: float) -> None:
        """Wait for the channel. Time in which this process was stopped itself, and its decoders with it, counts as a
        second at most. Raises DecoderStuckError."""
        left = seconds
        while not self._readable.poll(min(left, _STEP_SECONDS) * 1000):
            left -= _STEP_SECONDS
            if left <= 0:
                self.end()
                raise DecoderStuckError(f"a decoder did not answer within {seconds:g} s")

    def _died(self, said: str) -> DecoderDiedError:
        """What is known of its death; it is ended where it is not dead yet."""
        if not said:
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                said = "it closed its channel"
        status = self._process.poll()
        self._end_process()
        trace = self._hear()
        self._close()
        if status is not None and status < 0:
            said = _signal_name(-status)
        return DecoderDiedError(
            said or f"exit status {status}",
            trace=trace,
            was_killed=status is not None and -status in _FROM_OUTSIDE,
        )

    def _hear(self) -> str:
        """What it wrote to its standard error since it was last heard: the end of it."""
        said = b""
        try:
            while chunk := os.read(self._says, 65536):
                said = (said + chunk)[-_TRACE_CHARACTERS:]
        except BlockingIOError:
            pass
        return said.decode(errors="replace")

    def memory_bytes(self) -> int:
        """Memory that it takes: its own, which it shares with no other process, and what it shares with this one."""
        try:
            _, resident, shared, *_ = map(int, Path(f"/proc/{self.pid}/statm").read_text().split())
            return (resident - shared) * os.sysconf("SC_PAGE_SIZE") + self._content.size_bytes + self._pixels.size_bytes
        except OSError:  # it is gone
            return 0

    def kill(self) -> None:
        """Let whoever waits for it see that it is gone; ``end`` is to follow. From any thread."""
        self._process.kill()

    def end(self) -> None:
        """End it at once, and let go of all that belongs to it."""
        self._end_process()
        self._close()

    def _end_process(self) -> None:
        self._process.kill()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:  # it is inside the kernel, and ends when it comes out
            return

    def _close(self) -> None:
        if self._says < 0:
            return
        self._channel.close()
        self._content.close()
        self._pixels.close()
        os.close(self._says)
        self._says = -1


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
