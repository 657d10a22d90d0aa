"""Pictures of any of Pillow's modes and any colour space as sRGB."""

import io
from functools import lru_cache
from typing import Final

import numpy as np
from PIL import Image, ImageCms

_MAX_PROFILE_BYTES: Final = 4 * 2**20
"""Profiles of printing presses have up to 3 MB; a larger one is not read."""
_SPACES: Final = {"RGB": b"RGB ", "CMYK": b"CMYK", "L": b"GRAY"}
"""Mode → the colour space (ICC.1:2022, bytes 16 to 19) of a profile that speaks of it."""
_UNNOTICED_LEVELS: Final = 2
"""A profile that moves no colour further than this, of 255, is sRGB by another name."""


def with_8_bit_channels(image: Image.Image) -> Image.Image:
    """A decoded picture with 8-bit channels that can be resampled: palettes looked up, deep greys scaled."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, dtype=np.float32))
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        return Image.fromarray(np.clip(values * np.float32(255.0 / top), 0, 255).astype(np.uint8))
    if image.mode in ("P", "PA") or "transparency" in image.info:
        return image.convert("RGBA" if image.mode == "PA" or "transparency" in image.info else "RGB")
    if image.mode in ("RGBa", "La"):
        return image.convert(image.mode.upper())
    return image.convert("L") if image.mode == "1" else image


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """A picture out of ``with_8_bit_channels`` as RGB in sRGB: transparency over white, colours by its ICC profile.

    A profile that is damaged or speaks of other channels is ignored. What is not sRGB costs about 10 ms a megapixel:
    shrink first.
    """
    opaque = _over_white(image) if image.mode in ("RGBA", "LA") else image
    transform = _from_lab() if opaque.mode == "LAB" else _from_profile(profile or b"", opaque.mode)
    if transform is not None:
        return transform.apply(opaque)
    return opaque if opaque.mode == "RGB" else opaque.convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    opaque = image.convert(image.mode[:-1])
    white = Image.new(opaque.mode, image.size, "white")
    white.paste(opaque, mask=image.getchannel("A"))
    return white


@lru_cache(maxsize=16)
def _from_profile(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From the colours of a profile to sRGB; None where that changes nothing, or the profile cannot be used."""
    if not 128 < len(profile) <= _MAX_PROFILE_BYTES or profile[16:20] != _SPACES.get(mode):
        return None
    try:
        transform = _transform(ImageCms.ImageCmsProfile(io.BytesIO(profile)), mode)
        return None if mode != "CMYK" and _changes_nothing(transform) else transform
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


@lru_cache(maxsize=1)
def _from_lab() -> ImageCms.ImageCmsTransform:
    return _transform(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "LAB")


def _transform(source: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    # As browsers and editors do it: colours as measured, black to black.
    return ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    if transform.input_mode == "L":
        colours = np.arange(256, dtype=np.uint8).reshape(1, -1, 1).repeat(3, axis=2)
    picture = Image.fromarray(colours)
    changed = transform.apply(picture.convert(transform.input_mode))
    return int(np.abs(np.asarray(changed, np.int16) - colours).max()) <= _UNNOTICED_LEVELS
