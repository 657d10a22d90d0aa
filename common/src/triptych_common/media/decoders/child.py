"""The process that decodes: it answers one question after another until whoever asks is gone.

python -m triptych_common.media.decoders.child CHANNEL CONTENT PIXELS PARENT MEMORY_BYTES MAX_PIXELS
"""

import codecs
import faulthandler
import io
import mmap
import multiprocessing
import os
import socket
import sys
import traceback
from typing import Final

from PIL import AvifImagePlugin, Image, Jpeg2KImagePlugin, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin

from triptych_common.media.decoded import Decode
from triptych_common.media.decoders.confinement import confine, live_with
from triptych_common.media.decoders.messages import (
    Answer,
    Defect,
    FrameReader,
    Pixels,
    Question,
    answer_to_json,
    frame,
    question_from_json,
)
from triptych_common.media.decoders.needed_memory import needed_bytes
from triptych_common.media.decoders.shared_bytes import SharedBytes
from triptych_common.media.decoding import decode_image
from triptych_common.media.failures import ImageFailure
from triptych_common.media.formats import FORMATS
from triptych_common.media.limits import webp_canvas
from triptych_common.media.metadata import DECODER_ERRORS
from triptych_common.media.scaling import Resolution
from triptych_common.process_memory import give_back_memory

# Imported while that can be done: Pillow and rawpy would do so as they meet a photo that needs them.
IMPORTED_EARLY: Final = (
    multiprocessing,
    AvifImagePlugin,
    Jpeg2KImagePlugin,
    MpoImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
_ENCODINGS: Final = ("ascii", "latin-1", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "mac-roman", "cp1252")
_BYTES_PER_PIXEL: Final = 3
_MOST_KEPT_BYTES: Final = 128 * 2**20
"""What stays allocated for the next photo; 12 megapixels for faces come to 70 MB."""


def serve(decode: Decode = decode_image) -> None:
    """Answer until the other end of the channel is closed; arguments are the command's."""
    channel_descriptor, content_descriptor, pixels_descriptor, parent, memory_bytes, max_pixels = map(int, sys.argv[1:])
    live_with(parent)
    faulthandler.enable()
    channel = socket.socket(fileno=channel_descriptor)
    content, pixels = SharedBytes(content_descriptor), SharedBytes(pixels_descriptor)
    warm_up()
    memory = _OwnMemory()
    landlock = confine(memory_bytes=memory_bytes, file_bytes=_BYTES_PER_PIXEL * max_pixels)
    try:
        channel.sendall(frame({"landlock": landlock}))
        questions = FrameReader(channel)
        while True:
            said = questions.receive()
            if said is not None:
                question = question_from_json(said)
                answer = _answer(question, content, pixels, decode)
                if _is_corrupt(answer) and _is_large(content, question, memory_bytes):
                    answer = _too_large()
                # Before it is told, so that whoever then looks does not see it.
                memory.give_back()
                channel.sendall(frame(answer_to_json(answer)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def warm_up() -> None:
    """Decode a photo, so that all that is made on first use is there, and import what only some photos need."""
    Image.preinit()
    for encoding in _ENCODINGS:
        codecs.lookup(encoding)
    photo = io.BytesIO()
    Image.new("RGB", (16, 16)).save(photo, "JPEG")
    decode_image(photo.getvalue(), resolution=Resolution(longest_side_pixels=8), max_pixels=256)


def _answer(question: Question, content: SharedBytes, pixels: SharedBytes, decode: Decode) -> Answer:
    try:
        decoded = decode(
            content.read(question.size_bytes), resolution=question.resolution, max_pixels=question.max_pixels
        )
        pixels.write(decoded.pixels)
    except ImageFailure as failure:
        return failure
    except MemoryError:
        return _too_large()
    except Exception:  # noqa: BLE001 - decoders are others' code, and whatever they raise is told
        return Defect(trace=traceback.format_exc())
    height, width, _ = decoded.pixels.shape
    return Pixels(height=height, width=width, facts=decoded.facts)


def _is_corrupt(answer: Answer) -> bool:
    return isinstance(answer, ImageFailure) and answer.code == "corrupt"


def _too_large() -> ImageFailure:
    return ImageFailure("too_large", "The picture does not fit into the memory that a decoder may have.")


def _is_large(content: SharedBytes, question: Question, memory_bytes: int) -> bool:
    """Whether a picture may need more memory than there is: some libraries then say that it is damaged."""
    try:
        encoded = content.read(question.size_bytes)
        # Opening a WebP takes its memory already.
        size = webp_canvas(encoded[:30]) or _size(encoded)
    except (*DECODER_ERRORS, MemoryError):
        return False
    return needed_bytes(pixels=size[0] * size[1], content_bytes=question.size_bytes) > memory_bytes


def _size(encoded: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
        return image.size


class _OwnMemory:
    """What this process has to itself, by a file that stays open when no other can be opened any more."""

    def __init__(self) -> None:
        try:
            self._descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # there is no /proc
            self._descriptor = -1

    def give_back(self) -> None:
        """Return what a large photo has left behind: freed, and in pieces that the allocator keeps."""
        if self._descriptor < 0:
            return
        _, resident, shared, *_ = map(int, os.pread(self._descriptor, 200, 0).split())
        if (resident - shared) * mmap.PAGESIZE > _MOST_KEPT_BYTES:
            give_back_memory()


if __name__ == "__main__":
    serve()
