"""Measures how fast photos are decoded, and that embeddings do not suffer; one JSON object on the last line.

python benchmarks/decode.py              # 12-megapixel JPEGs to 224 pixels, and a table of the libraries installed
python benchmarks/decode.py --odd        # besides, which of them read which odd JPEGs
"""

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from decode_candidates import Decoder, candidates, pillow_full
from decode_photos import make_photo
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from tests.support.odd_jpegs import ARITHMETIC, TWELVE_BITS, with_segment
from triptych_common.media import Resolution, decode_image
from triptych_common.models.devices import Device
from triptych_embedder.models.base import EmbeddingOptions
from triptych_embedder.models.mobilenet_v2 import MobileNetV2

SIDE = 224
MAX_PIXELS = 100_000_000
Work = Callable[[bytes], object]


def square(image: Image.Image) -> NDArray[np.uint8]:
    """The middle of a picture, 224 × 224."""
    shortest = min(image.size)
    left, top = (image.width - shortest) / 2, (image.height - shortest) / 2
    box = (left, top, left + shortest, top + shortest)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box))


def whole(content: bytes) -> NDArray[np.uint8]:
    """By Pillow alone: all pixels decoded, and resized."""
    with Image.open(io.BytesIO(content)) as image:
        return square(image.convert("RGB"))


def ours(content: bytes) -> NDArray[np.uint8]:
    """As a service does it, to the size of which the bundled model makes its 224 pixels."""
    decoded = decode_image(content, resolution=MobileNetV2.resolution, max_pixels=MAX_PIXELS)
    return square(Image.fromarray(decoded.pixels))


def rate(work: Work, photos: Sequence[bytes], *, threads: int, seconds: float) -> float:
    """Photos a second."""
    began = time.perf_counter()
    done = 0
    with ThreadPoolExecutor(threads) as pool:
        while time.perf_counter() - began < seconds:
            done += len(list(pool.map(work, (photos * threads)[: max(len(photos), threads)])))
    return done / (time.perf_counter() - began)


def compare(photos: Sequence[bytes], rounds: int) -> dict[str, Any]:
    """Both ways, in turn, photo by photo; and ours on two threads."""
    seconds: dict[str, list[float]] = {"whole": [], "ours": []}
    for _ in tqdm(range(rounds), desc="12 megapixels to 224 pixels"):
        for photo in photos:
            for name, work in (("whole", whole), ("ours", ours)):
                began = time.perf_counter()
                work(photo)
                seconds[name].append(time.perf_counter() - began)
    gains = []
    for _ in range(3):
        one, two = (rate(ours, photos, threads=threads, seconds=1.0) for threads in (1, 2))
        gains.append(two / one)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "photos_per_second": round(1 / median["ours"], 1),
        "whole_photos_per_second": round(1 / median["whole"], 1),
        "speedup": round(median["whole"] / median["ours"], 2),
        "two_threads_gain": round(statistics.median(gains), 2),
    }


def compare_embeddings(photos: Sequence[bytes]) -> dict[str, Any]:
    """What the bundled model makes of photos that we shrink while decoding, against whole ones."""
    options = EmbeddingOptions(device=Device.parse("cpu"), threads=2, models_dir=Path())
    model = MobileNetV2.load("", options)

    def pixels(content: bytes) -> NDArray[np.uint8]:
        with Image.open(io.BytesIO(content)) as image:
            return np.asarray(image.convert("RGB"))

    of_whole = np.concatenate([model.embed_images([pixels(photo)]) for photo in photos])
    of_ours = np.concatenate(
        [
            model.embed_images([decode_image(photo, resolution=model.resolution, max_pixels=MAX_PIXELS).pixels])
            for photo in photos
        ]
    )
    cosines = (of_whole * of_ours).sum(axis=1)
    return {
        "embedding_mean_absolute_difference": round(float(np.abs(of_whole - of_ours).mean()), 6),
        "embedding_mean_absolute_value": round(float(np.abs(of_whole).mean()), 6),
        "cosine_min": round(float(cosines.min()), 5),
        "cosine_mean": round(float(cosines.mean()), 5),
    }


def compare_libraries(photos: Sequence[bytes], small: Sequence[bytes]) -> list[dict[str, Any]]:
    """Photos a second on one thread and on two of each library, and how far its pixels are from all of Pillow's."""
    cases = (
        ("12 MP, shortest ≥ 352", photos, MobileNetV2.resolution),
        ("12 MP, shortest ≥ 512", photos, Resolution(shortest_side_pixels=512)),
        ("12 MP, longest 1600", photos, Resolution(longest_side_pixels=1600)),
        ("640 × 480, shortest ≥ 352", small, MobileNetV2.resolution),
    )
    rows = []
    for case, files, resolution in cases:
        print(f"\n{case:<26} {'1 thread':>9} {'2 threads':>9} {'difference':>10}  photos/s; levels of 255")
        for name, decode in candidates().items():

            def work(content: bytes, decode: Decoder = decode, resolution: Resolution = resolution) -> object:
                return decode(content, resolution)

            one, two = (rate(work, files, threads=threads, seconds=0.7) for threads in (1, 2))
            difference = statistics.mean(from_whole(decode, photo, resolution) for photo in files[:3])
            print(f"  {name:<24} {one:>9.1f} {two:>9.1f} {difference:>10.2f}")
            rows.append(
                {"case": case, "library": name, "one_thread": round(one, 1), "two_threads": round(two, 1)}
                | {"difference": round(difference, 2)}
            )
    return rows


def from_whole(decode: Decoder, photo: bytes, resolution: Resolution) -> float:
    """Mean absolute difference in levels, both at the smaller size."""
    expected, found = pillow_full(photo, resolution), decode(photo, resolution)
    if found.shape != expected.shape:
        size = (expected.shape[1], expected.shape[0])
        found = np.asarray(Image.fromarray(found).resize(size, Image.Resampling.LANCZOS))
    return float(np.abs(found.astype(np.int16) - expected).mean())


def compare_odd() -> None:
    """Which library reads which odd JPEG, and how it looks: the difference from Pillow's."""
    plain = make_photo(0, 640, 480)
    with Image.open(io.BytesIO(plain)) as image:
        versions = {"plain": plain}
        for name, mode, options in (
            ("progressive", "RGB", {"progressive": True}),
            ("4:4:4", "RGB", {"subsampling": 0}),
            ("grey", "L", {}),
            ("CMYK", "CMYK", {}),
        ):
            file = io.BytesIO()
            image.convert(mode).save(file, "JPEG", quality=90, **options)
            versions[name] = file.getvalue()
    versions |= {"cut in half": plain[: len(plain) // 2], "arithmetic": ARITHMETIC, "12 bits": TWELVE_BITS}
    versions["1 MB of EXIF"] = plain
    for _ in range(16):
        versions["1 MB of EXIF"] = with_segment(versions["1 MB of EXIF"], 0xE1, b"Exif\0\0" + bytes(65_000))
    for name, decode in candidates().items():
        print(f"\n{name}")
        for version, content in versions.items():
            print(f"  {version:<14} {_attempt(decode, content)}")


def _attempt(decode: Decoder, content: bytes) -> str:
    small = Resolution(shortest_side_pixels=224)
    try:
        shape = decode(content, small).shape
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is asked for
        return f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
    try:
        return f"{shape}, difference {from_whole(decode, content, small):.1f}"
    except OSError:
        return f"{shape}, which Pillow does not read"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--odd", action="store_true", help="also try odd JPEGs")
    arguments = parser.parse_args()
    photos = [make_photo(number, 4000, 3000) for number in tqdm(range(arguments.photos), desc="making photos")]
    small = [make_photo(number, 640, 480) for number in range(12)]
    for photo in photos:  # once for the caches
        whole(photo)
        ours(photo)
    result = {
        "bench": "decode",
        "photos": len(photos),
        "megapixels": 12,
        "mean_file_bytes": round(statistics.mean(map(len, photos))),
        **compare(photos, arguments.rounds),
        **compare_embeddings(photos),
        "libraries": compare_libraries(photos, small),
    }
    if arguments.odd:
        compare_odd()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
