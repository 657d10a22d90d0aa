"""A decoder that does to itself what a photo's last bytes name, as a program for tests; other photos it decodes.

A photo is poisoned by `poisoned`.
"""

import ctypes
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

from triptych_common.media.decoded import DecodedImage
from triptych_common.media.decoders.child import serve
from triptych_common.media.decoding import decode_image
from triptych_common.media.scaling import Resolution

_POISON = b"poison: "


def poisoned(photo: bytes, name: str) -> bytes:
    """A photo that does this to its decoder; every JPEG may have bytes after its end."""
    return photo + _POISON + name.encode()


def _wait_for_ever() -> None:
    while True:
        signal.pause()


def _spin() -> None:
    while True:
        pass


def _raise() -> None:
    raise LookupError("a defect of the decoder")


_EFFECTS: Final[dict[bytes, Callable[[], object]]] = {
    b"segfault": lambda: ctypes.string_at(0),
    b"abort": os.abort,
    b"exit": lambda: os._exit(3),
    b"kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    b"hang": _wait_for_ever,
    b"spin": _spin,
    b"allocate": lambda: bytearray(2**50),
    b"raise": _raise,
    b"print": lambda: os.write(2, b"x" * 60_000),
    b"open": Path("/etc/hostname").read_bytes,
}


def _decode(content: bytes, *, resolution: Resolution, max_pixels: int) -> DecodedImage:
    effect = _EFFECTS.get(content.rpartition(_POISON)[2])
    if effect is not None:
        effect()
    return decode_image(content, resolution=resolution, max_pixels=max_pixels)


if __name__ == "__main__":
    serve(_decode)
