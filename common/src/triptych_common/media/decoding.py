"""Encoded photos to upright RGB arrays, within limits of size."""

import hashlib
import io
import struct
import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from triptych_common.media.failures import ImageFailure
from triptych_common.media.raw import RAW_EXTENSIONS, read_raw

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "HEIF", "AVIF", "JPEG2000", "PPM")
"""Formats that are decoded, by Pillow's names, besides camera raw files; nothing else is tried, however the file is
called. An MPO opens as the JPEG that it begins with."""

PHOTO_EXTENSIONS: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".heic", ".heif", ".avif"}
    | {".mpo", ".jp2", ".ppm"}
    | RAW_EXTENSIONS
)
"""Extensions, in lower case, by which a file is taken for a photo."""

pillow_heif.register_heif_opener()
# The limit on pixels is ours, checked on the header before anything is decoded; Pillow's own only warns.
Image.MAX_IMAGE_PIXELS = None

_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    struct.error,
    EOFError,
    RuntimeError,
)
"""What Pillow's decoders raise on damaged input, by experience; MemoryError and the rest are not about the photo."""


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """How far a picture may be shrunk while it is decoded."""

    shortest_side_pixels: int | None = None
    """The shorter side stays at least this long (or as it is, where it is shorter)."""
    longest_side_pixels: int | None = None
    """The longer side becomes at most this long."""


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """What decoding taught about a file."""

    content_sha256: bytes
    width: int
    """Of the upright picture at full size, in pixels."""
    height: int
    size_bytes: int
    taken_at: str
    """ISO 8601 by the camera's clock, without zone; empty where unknown."""
    format: str


@dataclass(frozen=True, kw_only=True)
class DecodedImage:
    """A photo as an array."""

    pixels: NDArray[np.uint8]
    """[height, width, 3], RGB, upright, as large as the resolution asked for."""
    facts: ImageFacts


def decode_image(content: bytes, *, resolution: Resolution, max_pixels: int) -> DecodedImage:
    """Decode the first picture of an encoded file, upright by its EXIF orientation.

    Raises ImageFailure: empty_file, unsupported_format, too_large (more than ``max_pixels``), corrupt.
    """
    if not content:
        raise ImageFailure("empty_file", "The file is empty.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata; the photo is read all the same.
        raw = read_raw(content, max_pixels=max_pixels)
        image = raw.image if raw is not None else _open(content)
        width, height = image.size
        if width * height > max_pixels:
            raise ImageFailure(
                "too_large", f"The picture has {width:,} × {height:,} pixels; the limit is {max_pixels:,}."
            )
        try:
            upright = _decode(image, raw.orientation if raw is not None else None, resolution)
        except _DECODER_ERRORS as error:
            raise ImageFailure("corrupt", f"The picture is damaged: {_sentence(error)}.") from error
        if raw is not None:
            width, height = raw.width, raw.height
        elif _orientation(image) >= 5:
            width, height = height, width
        facts = ImageFacts(
            content_sha256=hashlib.sha256(content).digest(),
            width=width,
            height=height,
            size_bytes=len(content),
            taken_at=_taken_at(image),
            format="RAW" if raw is not None else image.format or "",
        )
    return DecodedImage(pixels=np.asarray(upright, dtype=np.uint8), facts=facts)


def _open(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ImageFailure("unsupported_format", "The content is of no picture format that is read.") from error
    except _DECODER_ERRORS as error:
        raise ImageFailure("corrupt", f"The picture is damaged: {_sentence(error)}.") from error


def _decode(image: Image.Image, orientation: int | None, resolution: Resolution) -> Image.Image:
    """Decode, make RGB, shrink and turn upright. Raises what Pillow raises."""
    target = _target_size(image.size, resolution)
    # JPEG decodes at 1/2, 1/4 or 1/8 directly; twice the target leaves the resampling filter something to work on.
    image.draft("RGB", (target[0] * 2, target[1] * 2))
    image.load()
    rgb = _to_rgb(image)
    if rgb.size != target:
        rgb = rgb.resize(target, Image.Resampling.LANCZOS, reducing_gap=2.0)
    # Pillow turns some formats as it loads them, and says so only afterwards.
    turn = _TURNS.get(orientation if orientation is not None else _orientation(image))
    return rgb.transpose(turn) if turn is not None else rgb


def _target_size(size: tuple[int, int], resolution: Resolution) -> tuple[int, int]:
    """Size after shrinking, in pixels; a picture is never enlarged."""
    scale = 1.0
    if resolution.shortest_side_pixels is not None:
        scale = min(scale, resolution.shortest_side_pixels / min(size))
    if resolution.longest_side_pixels is not None:
        scale = min(scale, resolution.longest_side_pixels / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any of Pillow's modes as RGB: deep greys scaled to 8 bits, transparency over white."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8), "L").convert("RGB")
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, dtype=np.float64))
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        return Image.fromarray(np.clip(values * (255.0 / top), 0, 255).astype(np.uint8), "L").convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation (tag 0x0112) → the turn that makes the picture upright."""


def _exif(image: Image.Image) -> Image.Exif:
    """The picture's EXIF; empty where it is damaged, which does not make the picture unreadable."""
    try:
        return image.getexif()
    except _DECODER_ERRORS:
        return Image.Exif()


def _orientation(image: Image.Image) -> int:
    # pillow-heif turns the picture itself and keeps the old value under another key.
    value = _exif(image).get(ExifTags.Base.Orientation, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _taken_at(image: Image.Image) -> str:
    """EXIF DateTimeOriginal (or DateTime) as ISO 8601; empty where absent or malformed."""
    exif = _exif(image)
    try:
        value = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)
    except _DECODER_ERRORS:
        return ""
    text = str(value).strip("\0 ") if value else ""
    date, _, time = text.partition(" ")
    iso = f"{date.replace(':', '-')}T{time}"
    return iso if len(iso) == 19 and iso.replace("-", "").replace("T", "").replace(":", "").isdigit() else ""


def _sentence(error: Exception) -> str:
    text = str(error).strip().rstrip(".") or type(error).__name__
    return text[:200]
