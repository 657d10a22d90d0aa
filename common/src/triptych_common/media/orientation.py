"""Pictures turned upright, as the camera was held."""

from typing import Final

from PIL import ExifTags, Image

from triptych_common.media.metadata import read_exif

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


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation of a decoded picture, 1 to 8; 1 where it says nothing or nonsense.

    Pillow turns some formats itself as it decodes them, and takes the tag away.
    """
    value = read_exif(image).get(ExifTags.Base.Orientation, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    """A picture as it was seen, by its orientation from 1 to 8."""
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Width and height of a picture of ``size`` once it is upright."""
    return size if orientation < 5 else (size[1], size[0])
