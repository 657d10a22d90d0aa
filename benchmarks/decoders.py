"""Measures what decoding in processes of their own costs; one JSON object on the last line.

- ``photos``: milliseconds of processor time and of waiting for a photo, decoded here and apart in turn: the mean over
  the photos of the least of all rounds;
- ``bytes_per_pixel``: the most that a decoder took, without what it has at rest, for a large picture of each format;
- ``decoder``: what one takes at rest, and how long it takes to start.

python benchmarks/decoders.py [--rounds 25] [--megapixels 24]
"""

import argparse
import io
import json
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from decode_photos import make_photo
from PIL import Image

from triptych_common.media import ImageFailure, Resolution, decode_image
from triptych_common.media.decoders.limits import DecoderLimits
from triptych_common.media.decoders.process import COMMAND, DecoderProcess

LIMITS = DecoderLimits(processes=1, seconds=60, memory_bytes=8 * 2**30, max_pixels=200_000_000)
FORMATS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "JPEG": ("JPEG", "RGB", {}),
    "progressive JPEG": ("JPEG", "RGB", {"progressive": True}),
    "CMYK JPEG": ("JPEG", "CMYK", {}),
    "PNG with transparency": ("PNG", "RGBA", {"compress_level": 1}),
    "WebP": ("WEBP", "RGB", {"lossless": True, "method": 0}),
    "TIFF of floats": ("TIFF", "F", {}),
    "JPEG 2000": ("JPEG2000", "RGB", {}),
    "HEIF": ("HEIF", "RGB", {}),
    "AVIF": ("AVIF", "RGB", {"speed": 10}),
}


def started() -> DecoderProcess:
    """A decoder that is ready."""
    decoder = DecoderProcess(COMMAND, LIMITS)
    decoder.until_ready()
    return decoder


def status_bytes(decoder: DecoderProcess, name: str) -> int:
    """A line of proc(5)'s status of a decoder."""
    found = re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{decoder.pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def processor_seconds(decoder: DecoderProcess) -> float:
    """Of this process and of a decoder, by the clock of its processor time (clock_getcpuclockid(3))."""
    return time.process_time() + time.clock_gettime((~decoder.pid << 3) | 2)


def compare(decoder: DecoderProcess, photos: list[bytes], resolution: Resolution, rounds: int) -> dict[str, float]:
    """Milliseconds for a photo, here and apart."""
    ways: dict[str, Callable[..., object]] = {"here": decode_image, "apart": decoder.decode}
    taken: dict[str, list[list[float]]] = {
        f"{way}_{clock}": [[] for _ in photos] for way in ways for clock in ("cpu", "wall")
    }
    for _ in range(rounds):
        for number, photo in enumerate(photos):
            for name, decode in ways.items():
                wall, cpu = time.perf_counter(), processor_seconds(decoder)
                decode(photo, resolution=resolution, max_pixels=LIMITS.max_pixels)
                taken[f"{name}_cpu"][number].append(processor_seconds(decoder) - cpu)
                taken[f"{name}_wall"][number].append(time.perf_counter() - wall)
    least = {f"{name}_ms": statistics.mean(map(min, values)) * 1000 for name, values in taken.items()}
    least["adds_cpu_ms"] = least["apart_cpu_ms"] - least["here_cpu_ms"]
    least["adds_wall_ms"] = least["apart_wall_ms"] - least["here_wall_ms"]
    return {name: round(value, 2) for name, value in least.items()}


def bytes_per_pixel(kind: str, mode: str, options: dict[str, Any], side: int) -> float | str:
    """What a decoder takes at most for each pixel of a picture that is not shrunk, or how it fails."""
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 255, (side // 8, side // 8, 3), np.uint8))
    file = io.BytesIO()
    picture.resize((side, side)).convert(mode).save(file, kind, **options)
    decoder = started()
    at_rest = status_bytes(decoder, "VmHWM")
    try:
        decoder.decode(file.getvalue(), resolution=Resolution(), max_pixels=LIMITS.max_pixels)
        return round((status_bytes(decoder, "VmHWM") - at_rest) / side**2, 1)
    except ImageFailure as failure:
        return failure.code
    finally:
        decoder.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--megapixels", type=float, default=24)
    arguments = parser.parse_args()
    began = time.perf_counter()
    decoder = started()
    seconds = time.perf_counter() - began
    at_rest = {"memory_bytes": decoder.memory_bytes(), "resident_bytes": status_bytes(decoder, "VmRSS")}
    large = [make_photo(number, 4000, 3000) for number in range(4)]
    small = [make_photo(number, 640, 480) for number in range(8)]
    cases = {
        "12 MP, shortest ≥ 352": (large, Resolution(shortest_side_pixels=352), arguments.rounds),
        "12 MP, longest 1600": (large, Resolution(longest_side_pixels=1600), arguments.rounds),
        "640 × 480": (small, Resolution(shortest_side_pixels=352), 4 * arguments.rounds),
    }
    photos = {name: compare(decoder, *case) for name, case in cases.items()}
    after = decoder.memory_bytes()
    decoder.end()
    side = int((arguments.megapixels * 1e6) ** 0.5) // 8 * 8
    taken = {name: bytes_per_pixel(*how, side) for name, how in FORMATS.items()}
    result = {
        "bench": "decoders",
        "photos": photos,
        "bytes_per_pixel": taken,
        "decoder": {"start_seconds": round(seconds, 2), **at_rest, "memory_bytes_after": after},
    }
    print(json.dumps(result, ensure_ascii=False))


if __name__ == "__main__":
    main()
