"""The part of a picture that a photo shows, and where faces come to lie in it.

A framing is a similarity: the photo's pixels are the picture's, turned, perhaps mirrored, scaled and cut to a rectangle
that lies wholly inside the picture, so that no photo has empty corners.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from PIL import Image

from triptych_gateway.cli.samples.errors import FramingError
from triptych_gateway.cli.samples.sources import Face, Picture

ASPECTS = (3 / 4, 4 / 5, 1.0, 5 / 4, 4 / 3, 3 / 2, 16 / 10, 16 / 9)
# A tenth of a face beside its box is still hair, ear and neck: less than that and detectors are in doubt.
FACE_MARGIN = 0.12
ATTEMPTS = 600


@dataclass(frozen=True, kw_only=True)
class Framing:
    """Which part of a picture a photo shows, and how.

    `centre_x`, `centre_y`: the photo's middle, in pixels of the picture. `width`, `height`: of the upright photo in its
    own pixels. `scale`: photo pixels per picture pixel. `roll_degrees`: by how much the content is turned
    counter-clockwise, before it is mirrored.
    """

    centre_x: float
    centre_y: float
    width: int
    height: int
    scale: float
    roll_degrees: float
    mirrored: bool

    @property
    def _cosine_and_sine(self) -> tuple[float, float]:
        # The picture's axes are turned against the content; y points down.
        return math.cos(math.radians(self.roll_degrees)), math.sin(math.radians(self.roll_degrees))

    def coefficients(self) -> tuple[float, float, float, float, float, float]:
        """Return (a, b, c, d, e, f): photo pixel (x, y) is taken from (a·x + b·y + c, d·x + e·y + f) in the picture."""
        cosine, sine = self._cosine_and_sine
        sign = -1.0 if self.mirrored else 1.0
        a, b = sign * cosine / self.scale, -sine / self.scale
        d, e = sign * sine / self.scale, cosine / self.scale
        middle_x, middle_y = self.width / 2, self.height / 2
        return (
            a,
            b,
            self.centre_x - a * middle_x - b * middle_y,
            d,
            e,
            self.centre_y - d * middle_x - e * middle_y,
        )

    def to_photo(self, x: float, y: float) -> tuple[float, float]:
        """Return where the picture's point (x, y) lies in the photo, in photo pixels."""
        cosine, sine = self._cosine_and_sine
        from_centre_x, from_centre_y = x - self.centre_x, y - self.centre_y
        across = cosine * from_centre_x + sine * from_centre_y
        down = -sine * from_centre_x + cosine * from_centre_y
        return (
            self.width / 2 + (-across if self.mirrored else across) * self.scale,
            self.height / 2 + down * self.scale,
        )

    def to_picture(self, x: float, y: float) -> tuple[float, float]:
        """Return the picture's point that the photo's point (x, y) shows, in picture pixels."""
        a, b, c, d, e, f = self.coefficients()
        return a * x + b * y + c, d * x + e * y + f

    def corners(self) -> list[tuple[float, float]]:
        """Return the photo's four corners in pixels of the picture."""
        return [self.to_picture(x, y) for x in (0, self.width) for y in (0, self.height)]

    def lies_inside(self, picture: Picture) -> bool:
        """Say whether every pixel of the photo has one in the usable part of the picture."""
        bottom = picture.usable_height or picture.height
        return all(0 <= x <= picture.width and 0 <= y <= bottom for x, y in self.corners())

    def box(self, face: Face) -> tuple[float, float, float, float]:
        """Return the face's box as (left, top, width, height) in photo pixels; it may lie outside of the photo."""
        x, y = self.to_photo(face.centre_x, face.centre_y)
        side = face.side * self.scale
        return x - side / 2, y - side / 2, side, side

    def shows(self, face: Face) -> bool:
        """Say whether the whole face is in the photo, with a margin."""
        left, top, width, height = self.box(face)
        margin = FACE_MARGIN * width
        return (
            left >= margin
            and top >= margin
            and left + width <= self.width - margin
            and top + height <= self.height - margin
        )

    def hides(self, face: Face) -> bool:
        """Say whether nothing of the face is in the photo, with a margin."""
        left, top, width, height = self.box(face)
        margin = FACE_MARGIN * width
        return (
            left >= self.width + margin
            or top >= self.height + margin
            or left + width <= -margin
            or top + height <= -margin
        )

    def suits(self, face: Face) -> bool:
        """Say whether the face may be turned so far."""
        lowest, highest = face.roll_range_degrees
        return lowest <= self.roll_degrees <= highest

    def cut(self, picture: Image.Image) -> Image.Image:
        """Return the upright photo: `width` × `height` pixels out of the picture, interpolated bicubically."""
        return picture.transform(
            (self.width, self.height), Image.Transform.AFFINE, self.coefficients(), Image.Resampling.BICUBIC
        )


def frame_people(
    random: Random, picture: Picture, people: tuple[Face, ...], *, long_side_range: tuple[int, int]
) -> Framing:
    """Choose a framing that shows these faces whole and of every other face in the picture all or nothing.

    `long_side_range` is in photo pixels. Raises FramingError if no attempt finds one.
    """
    lowest_roll, highest_roll = common_roll_range(people)
    for attempt in range(ATTEMPTS):
        # Every attempt asks for a little less room around the faces; a row of them may need all of a picture's width.
        freedom = 1 - attempt / ATTEMPTS
        roll_degrees = round(random.uniform(lowest_roll, highest_roll), 2)
        axes = _turned_axes(roll_degrees)
        boxes = [axes.box(face) for face in people]
        left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
        right, bottom = max(box[0] + box[2] for box in boxes), max(box[1] + box[3] for box in boxes)
        room = 2 * max(face.side for face in people) * (1.2 * FACE_MARGIN + freedom * random.uniform(0.1, 1.0))
        width, height = right - left + room, bottom - top + room
        aspect = random.choice(ASPECTS)
        if freedom > 0.5:
            width, height = max(width, height * aspect), max(height, width / aspect)
        across = (left + right) / 2 + random.uniform(-0.4, 0.4) * (width - right + left)
        down = (top + bottom) / 2 + random.uniform(-0.4, 0.4) * (height - bottom + top)
        framing = _framing(
            centre=axes.to_picture(across, down),
            size=(width, height),
            long_side=random.randint(*long_side_range),
            roll_degrees=roll_degrees,
            mirrored=random.random() < 0.5,
        )
        if framing.lies_inside(picture) and _shows_whole_faces(framing, picture, people):
            return framing
    names = ", ".join(face.person for face in people)
    raise FramingError(f"no part of {picture.path} shows {names} and no half of another face")


def frame_scene(random: Random, picture: Picture, *, long_side_range: tuple[int, int]) -> Framing:
    """Choose a framing of most of the picture; `long_side_range` is in photo pixels.

    Raises FramingError if no attempt finds one.
    """
    for _ in range(ATTEMPTS):
        aspect = random.choice(ASPECTS)
        height = min(picture.height, picture.width / aspect) * random.uniform(0.7, 0.98)
        width = height * aspect
        framing = _framing(
            centre=(
                picture.width / 2 + random.uniform(-0.5, 0.5) * (picture.width - width),
                picture.height / 2 + random.uniform(-0.5, 0.5) * (picture.height - height),
            ),
            size=(width, height),
            long_side=random.randint(*long_side_range),
            roll_degrees=round(random.uniform(-4, 4), 2) if random.random() < 0.6 else 0.0,
            mirrored=random.random() < 0.5,
        )
        if framing.lies_inside(picture):
            return framing
    raise FramingError(f"no part of {picture.path} fills a photo")


def common_roll_range(people: Iterable[Face]) -> tuple[float, float]:
    """Return the range of degrees by which all of these faces may be turned.

    Raises FramingError if there is none.
    """
    ranges = [face.roll_range_degrees for face in people]
    lowest, highest = max(low for low, _ in ranges), min(high for _, high in ranges)
    if lowest > highest:
        raise FramingError(f"no turn suits all of these faces: they allow {ranges}")
    return lowest, highest


def _turned_axes(roll_degrees: float) -> Framing:
    """Return a framing at the picture's origin, for its coordinates: picture pixels, on axes turned like a photo's."""
    return Framing(centre_x=0, centre_y=0, width=0, height=0, scale=1, roll_degrees=roll_degrees, mirrored=False)


def _framing(
    *,
    centre: tuple[float, float],
    size: tuple[float, float],
    long_side: int,
    roll_degrees: float,
    mirrored: bool,
) -> Framing:
    """Build a framing of a `size` in picture pixels and a `long_side` in photo pixels.

    All is rounded, so that the manifest holds exactly what was drawn.
    """
    scale = long_side / max(size)
    return Framing(
        centre_x=round(centre[0], 2),
        centre_y=round(centre[1], 2),
        width=round(size[0] * scale),
        height=round(size[1] * scale),
        scale=round(scale, 4),
        roll_degrees=roll_degrees,
        mirrored=mirrored,
    )


def _shows_whole_faces(framing: Framing, picture: Picture, people: tuple[Face, ...]) -> bool:
    return all(framing.shows(face) for face in people) and all(
        framing.hides(face) or (framing.shows(face) and framing.suits(face)) for face in picture.faces
    )
