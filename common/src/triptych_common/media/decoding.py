"""Encoded photos to upright RGB arrays in sRGB, within limits of size."""

import hashlib
import io
import warnings

import numpy as np
import pillow_heif
from PIL import Image, UnidentifiedImageError

from triptych_common.media.colour import to_srgb, with_8_bit_channels
from triptych_common.media.decoded import DecodedImage, ImageFacts
from triptych_common.media.failures import ImageFailure
from triptych_common.media.formats import FORMATS
from triptych_common.media.limits import check_before_opening, check_opened
from triptych_common.media.metadata import DECODER_ERRORS, taken_at
from triptych_common.media.orientation import orientation_of, turn_upright, upright_size
from triptych_common.media.profiles import profile_of
from triptych_common.media.raw import read_raw
from triptych_common.media.scaling import Resolution, decode_shrunk, shrink_decoded

pillow_heif.register_heif_opener()
# The limit on pixels is ours, checked on the header before anything is decoded; Pillow's own only warns.
Image.MAX_IMAGE_PIXELS = None
# Pillow warns of odd metadata; the photo is read all the same. For the whole process, as threads share the filters.
warnings.filterwarnings("ignore", module=r"PIL\.")


def decode_image(content: bytes, *, resolution: Resolution, max_pixels: int) -> DecodedImage:
    """Decode the first picture of an encoded file, upright by its EXIF orientation.

    Decoding, shrinking, colours and the digest let other threads run meanwhile. Raises ImageFailure: empty_file,
    unsupported_format, too_large (more than ``max_pixels``, or more work than they can need), corrupt.
    """
    if not content:
        raise ImageFailure("empty_file", "The file is empty.")
    raw = read_raw(content, max_pixels=max_pixels)
    image = raw.image if raw is not None else _open(content, max_pixels)
    check_opened(image, content, max_pixels)
    full_size = image.size
    try:
        rgb = _decode(image, resolution)
        # Known only now: Pillow turns some formats as it loads them.
        orientation = raw.orientation if raw is not None else orientation_of(image)
        pixels = np.asarray(turn_upright(rgb, orientation), dtype=np.uint8)
    except DECODER_ERRORS as error:
        raise ImageFailure("corrupt", f"The picture is damaged: {_sentence(error)}.") from error
    width, height = (raw.width, raw.height) if raw is not None else upright_size(full_size, orientation)
    facts = ImageFacts(
        content_sha256=hashlib.sha256(content).digest(),
        width=width,
        height=height,
        size_bytes=len(content),
        taken_at=taken_at(image),
        format="RAW" if raw is not None else image.format or "",
    )
    return DecodedImage(pixels=pixels, facts=facts)


def _open(content: bytes, max_pixels: int) -> Image.Image:
    check_before_opening(content, max_pixels)
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ImageFailure("unsupported_format", "The content is of no picture format that is read.") from error
    except DECODER_ERRORS as error:
        raise ImageFailure("corrupt", f"The picture is damaged: {_sentence(error)}.") from error


def _decode(image: Image.Image, resolution: Resolution) -> Image.Image:
    """Decode, shrink, and only then, for fewer pixels, make sRGB. Raises what Pillow raises."""
    full_size = image.size
    part = decode_shrunk(image, resolution)
    small = shrink_decoded(with_8_bit_channels(image), resolution, full_size=full_size, part=part)
    return to_srgb(small, profile_of(image))


def _sentence(error: Exception) -> str:
    text = str(error).strip().rstrip(".") or type(error).__name__
    return text[:200]
