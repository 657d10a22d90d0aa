"""Libraries that decode JPEGs at reduced size, each as one function; those that are not installed are left out."""

import importlib.util
import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from triptych_common.media import Resolution, decode_image

Decoder = Callable[[bytes, Resolution], NDArray[np.uint8]]
"""From a JPEG's bytes to RGB [height, width, 3], at least or exactly as large as the resolution says."""


def pillow_full(content: bytes, resolution: Resolution) -> NDArray[np.uint8]:
    """Everything decoded, then resampled: what the others are held against."""
    with Image.open(io.BytesIO(content)) as image:
        size = resolution.exact_size(image.size) or resolution.smallest_size(image.size)
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS))


def triptych(content: bytes, resolution: Resolution) -> NDArray[np.uint8]:
    """What the services run: Pillow's draft mode; with digest, EXIF, limits and colours."""
    return decode_image(content, resolution=resolution, max_pixels=10**9).pixels


def pillow_draft_twice(content: bytes, resolution: Resolution) -> NDArray[np.uint8]:
    """Draft mode to twice the size, then Lanczos to it exactly: what was here before."""
    with Image.open(io.BytesIO(content)) as image:
        size = resolution.exact_size(image.size) or resolution.smallest_size(image.size)
        image.draft("RGB", (size[0] * 2, size[1] * 2))
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0))


def _finish(pixels: NDArray[np.uint8], exact: tuple[int, int] | None) -> NDArray[np.uint8]:
    if exact is None or pixels.shape[1::-1] == exact:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(exact, Image.Resampling.HAMMING, reducing_gap=2.0))


def _simplejpeg(content: bytes, resolution: Resolution) -> NDArray[np.uint8]:
    import simplejpeg  # noqa: PLC0415

    height, width, _, _ = simplejpeg.decode_jpeg_header(content)
    size = resolution.smallest_size((width, height))
    pixels = simplejpeg.decode_jpeg(content, min_width=size[0], min_height=size[1], min_factor=1)
    return _finish(pixels, resolution.exact_size((width, height)))


def _turbojpeg() -> Decoder | None:
    if importlib.util.find_spec("turbojpeg") is None:
        return None
    from turbojpeg import TJPF_RGB, TurboJPEG  # noqa: PLC0415

    try:
        library = TurboJPEG()
    except RuntimeError:  # the package brings no libjpeg-turbo
        return None

    def decode(content: bytes, resolution: Resolution) -> NDArray[np.uint8]:
        width, height, _, _ = library.decode_header(content)[:4]
        size = resolution.smallest_size((width, height))
        factor = min(
            (
                (over, under)
                for over, under in library.scaling_factors
                if over <= under and -(-width * over // under) >= size[0] and -(-height * over // under) >= size[1]
            ),
            key=lambda factor: factor[0] / factor[1],
        )
        pixels = library.decode(content, pixel_format=TJPF_RGB, scaling_factor=factor)
        return _finish(pixels, resolution.exact_size((width, height)))

    return decode


def _opencv(content: bytes, resolution: Resolution) -> NDArray[np.uint8]:
    import cv2  # noqa: PLC0415

    cv2.setNumThreads(1)
    with Image.open(io.BytesIO(content)) as header:  # OpenCV has no function for it
        full = header.size
    size = resolution.smallest_size(full)
    factor = max(by for by in (1, 2, 4, 8) if by == 1 or (full[0] // by >= size[0] and full[1] // by >= size[1]))
    flag = {
        1: cv2.IMREAD_COLOR,
        2: cv2.IMREAD_REDUCED_COLOR_2,
        4: cv2.IMREAD_REDUCED_COLOR_4,
        8: cv2.IMREAD_REDUCED_COLOR_8,
    }[factor]
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise ValueError("OpenCV gives no reason")
    pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    exact = resolution.exact_size(full)
    return pixels if exact is None else cv2.resize(pixels, exact, interpolation=cv2.INTER_AREA)


def _libvips(content: bytes, resolution: Resolution) -> NDArray[np.uint8]:
    import pyvips  # noqa: PLC0415

    pyvips.cache_set_max(0)
    header = pyvips.Image.new_from_buffer(content, "")
    full = (header.width, header.height)
    width, height = resolution.exact_size(full) or resolution.smallest_size(full)
    small = pyvips.Image.thumbnail_buffer(
        content, width, height=height, size="force", no_rotate=True, fail_on="truncated"
    )
    return small.colourspace("srgb").numpy()


def candidates() -> dict[str, Decoder]:
    """Name → decoder of everything that is installed."""
    always: dict[str, Decoder] = {
        "Pillow, all of it": pillow_full,
        "Pillow, draft × 2": pillow_draft_twice,
        "Triptych (Pillow)": triptych,
    }
    wheels = (
        ("simplejpeg", "simplejpeg", _simplejpeg),
        ("OpenCV", "cv2", _opencv),
        ("libvips", "pyvips", _libvips),
    )
    installed = {name: decoder for name, module, decoder in wheels if importlib.util.find_spec(module) is not None}
    turbojpeg = _turbojpeg()
    return always | installed | ({} if turbojpeg is None else {"PyTurboJPEG": turbojpeg})
