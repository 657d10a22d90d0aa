"""What one sample photo is made of: a part of a picture, a tone and a file format; and how it is drawn and encoded."""

import io
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from PIL import ExifTags, Image, ImageEnhance

from triptych_gateway.cli.samples.framing import Framing
from triptych_gateway.cli.samples.sources import Face, Picture

EXIF_TIME_FORMAT = "%Y:%m:%d %H:%M:%S"
SUFFIXES = {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}
# What a camera held so would have stored: upright content turned against what the orientation tells viewers to do.
_STORED_AS = {
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True, kw_only=True)
class Tone:
    """How a photo's light differs from its picture's; all factors are 1 where nothing changes.

    `brightness` multiplies, `contrast` stretches about the middle, `gamma` is the exponent, `warmth` multiplies red and
    divides blue, `saturation` 0 is black and white.
    """

    brightness: float = 1.0
    contrast: float = 1.0
    gamma: float = 1.0
    warmth: float = 1.0
    saturation: float = 1.0

    def apply(self, image: Image.Image) -> Image.Image:
        """Return the RGB image in this tone."""
        tables = [
            self._level(value / 255, gain)
            for gain in (self.brightness * self.warmth, self.brightness, self.brightness / self.warmth)
            for value in range(256)
        ]
        return ImageEnhance.Color(image.point(tables)).enhance(self.saturation)

    def _level(self, value: float, gain: float) -> int:
        level = (math.pow(min(1.0, value * gain), self.gamma) - 0.5) * self.contrast + 0.5
        return round(255 * min(1.0, max(0.0, level)))


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How a photo is stored: format, quality (1 to 100, of lossy formats) and EXIF orientation (1 to 8)."""

    format: Literal["jpeg", "png", "webp"] = "jpeg"
    quality: int | None = None
    orientation: Literal[1, 3, 6, 8] = 1


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One photo of a sample library, before it is drawn. `name` is its path in the library, with slashes."""

    name: str
    picture: Picture
    framing: Framing
    tone: Tone
    encoding: Encoding
    taken_at: datetime

    def people(self) -> tuple[Face, ...]:
        """Return the faces that the photo shows, as they are in its picture."""
        return tuple(face for face in self.picture.faces if self.framing.shows(face))

    def box(self, face: Face) -> tuple[float, float, float, float]:
        """Return a face's box as (left, top, width, height), each 0 to 1 of the upright photo."""
        left, top, width, height = self.framing.box(face)
        return (
            round(left / self.framing.width, 4),
            round(top / self.framing.height, 4),
            round(width / self.framing.width, 4),
            round(height / self.framing.height, 4),
        )


def encode_photo(picture: Image.Image, variant: Variant) -> bytes:
    """Draw a variant of the picture (RGB, as its source has it) and return the bytes of its file."""
    photo = variant.tone.apply(variant.framing.cut(picture))
    encoding = variant.encoding
    if encoding.orientation in _STORED_AS:
        photo = photo.transpose(_STORED_AS[encoding.orientation])
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = variant.picture.name
    exif[ExifTags.Base.Orientation] = encoding.orientation
    exif[ExifTags.Base.Software] = "triptych samples"
    exif[ExifTags.Base.Copyright] = variant.picture.credit
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = variant.taken_at.strftime(EXIF_TIME_FORMAT)
    target = io.BytesIO()
    if encoding.quality is None:
        photo.save(target, encoding.format, exif=exif)
    else:
        photo.save(target, encoding.format, exif=exif, quality=encoding.quality)
    return target.getvalue()
