"""Camera raw files: the preview that the camera embedded, or a half-size picture where there is none."""

import io
import struct
from dataclasses import dataclass
from typing import Final

import rawpy
from PIL import ExifTags, Image

from triptych_common.media.failures import ImageFailure
from triptych_common.media.limits import check_pixels

_SIGNATURES: Final = (
    (0, b"FUJIFILMCCD-RAW"),
    (0, b"IIRO"),
    (0, b"IIRS"),
    (0, b"MMOR"),
    (0, b"IIU\0"),
    (0, b"\0MRM"),
    (0, b"FOVb"),
    (4, b"ftypcrx "),
)
"""Where a raw file that is no TIFF has which bytes: RAF, ORF (three), RW2, MRW, X3F, CR3."""
_MAKE, _PHOTOMETRIC, _SUB_DIRECTORIES, _DNG_VERSION = 271, 262, 330, 50706
_SENSOR_COLOURS: Final = frozenset({32803, 34892})
"""PhotometricInterpretation of a mosaic, and of linear raw data (DNG specification)."""
_ORIENTATIONS: Final = {0: 1, 3: 3, 5: 8, 6: 6}
"""LibRaw's flip → EXIF's orientation."""


@dataclass(frozen=True, kw_only=True)
class RawPicture:
    """What a raw file shows."""

    image: Image.Image
    """Not decoded yet where it is the preview."""
    orientation: int
    """EXIF's orientation of that image."""
    width: int
    """Of the upright photo at full size, in pixels."""
    height: int


def read_raw(content: bytes, *, max_pixels: int) -> RawPicture | None:
    """The picture of a raw file; None for a file of another kind.

    Raises ImageFailure: too_large (more than ``max_pixels``), corrupt.
    """
    if not _may_be_raw(content):
        return None
    try:
        with rawpy.imread(io.BytesIO(content)) as raw:
            width, height = raw.sizes.iwidth, raw.sizes.iheight
            check_pixels((width, height), max_pixels)
            orientation = _ORIENTATIONS.get(raw.sizes.flip, 1)
            if orientation >= 5:
                width, height = height, width
            image = _preview(raw)
            if image is not None:
                orientation = _orientation_of(image, orientation, is_upright_portrait=height > width)
            else:
                # LibRaw turns it upright itself.
                image, orientation = Image.fromarray(raw.postprocess(half_size=True, use_camera_wb=True)), 1
    except rawpy.LibRawFileUnsupportedError:
        return None
    except rawpy.LibRawUnsufficientMemoryError as error:
        raise MemoryError from error
    except (rawpy.LibRawError, rawpy.NotSupportedError) as error:
        raise ImageFailure("corrupt", f"The raw file is damaged: {_sentence(error)}.") from error
    return RawPicture(image=image, orientation=orientation, width=width, height=height)


def _preview(raw: rawpy.RawPy) -> Image.Image | None:
    try:
        thumbnail = raw.extract_thumb()
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        return None
    if not isinstance(thumbnail.data, bytes):
        return Image.fromarray(thumbnail.data)
    try:
        return Image.open(io.BytesIO(thumbnail.data), formats=("JPEG",))
    except (OSError, SyntaxError, ValueError):
        return None


def _orientation_of(preview: Image.Image, of_raw: int, *, is_upright_portrait: bool) -> int:
    """How to turn a preview: as its own EXIF says, else as the raw file; not at all where it is turned already."""
    try:
        own = preview.getexif().get(ExifTags.Base.Orientation)
    except (OSError, SyntaxError, ValueError, struct.error):
        own = None
    orientation = own if isinstance(own, int) and 1 <= own <= 8 else of_raw
    is_turned = preview.height != preview.width and (preview.height > preview.width) == is_upright_portrait
    return 1 if orientation >= 5 and is_turned else orientation


def _may_be_raw(content: bytes) -> bool:
    if any(content.startswith(signature, place) for place, signature in _SIGNATURES):
        return True
    tags = _tiff_tags(content)
    return (
        _DNG_VERSION in tags
        or tags.get(_PHOTOMETRIC) in _SENSOR_COLOURS
        or (_MAKE in tags and (_SUB_DIRECTORIES in tags or content.startswith(b"CR", 8)))
    )


def _tiff_tags(content: bytes) -> dict[int, int]:
    """The tags of a TIFF's first directory, each with its first short number; none where it is no TIFF."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(content[:4])
    if order is None:
        return {}
    try:
        (at,) = struct.unpack_from(f"{order}I", content, 4)
        (count,) = struct.unpack_from(f"{order}H", content, at)
        entries = (struct.unpack_from(f"{order}HHIH", content, at + 2 + 12 * place) for place in range(count))
        return {tag: value for tag, _, _, value in entries}
    except struct.error:
        return {}


def _sentence(error: Exception) -> str:
    """LibRaw's words, which rawpy hands on as bytes."""
    said = error.args[0] if error.args else type(error).__name__
    return (said.decode(errors="replace") if isinstance(said, bytes) else str(said)).strip().rstrip(".")[:200]
