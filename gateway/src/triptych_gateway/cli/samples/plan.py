"""Which photos a sample library consists of: photo n of a seed is the same in a library of any size."""

from datetime import datetime, timedelta
from random import Random
from typing import Literal

from triptych_gateway.cli.samples.framing import frame_people, frame_scene
from triptych_gateway.cli.samples.sources import ASTRONAUT, GROUP, SCENES, Face, Picture
from triptych_gateway.cli.samples.variants import SUFFIXES, Encoding, Tone, Variant

# Half are portraits, three in ten show nobody, and in two several people meet: about one face a photo.
_ROUND: tuple[Literal["portrait", "together", "scene"], ...] = (
    "portrait", "scene", "portrait", "portrait", "together", "portrait", "scene", "portrait", "together", "scene",
)  # fmt: skip
_PORTRAITS: tuple[tuple[Picture, Face], ...] = tuple(
    (picture, face) for picture in (ASTRONAUT, GROUP) for face in picture.faces
)
# Neighbours in the picture; the letters are the persons'.
_COMPANIES = ("ABCDEF", "DE", "ABC", "EF", "CD", "AB", "DEF", "BC")
_FIRST_PHOTO_TAKEN_AT = datetime(2019, 5, 4, 9, 30)  # noqa: DTZ001  EXIF's DateTimeOriginal has no time zone
_PORTRAIT_LONG_SIDE = (440, 760)
_TOGETHER_LONG_SIDE = (760, 1100)
_EVERYBODY_LONG_SIDE = (960, 1280)
_SCENE_LONG_SIDE = (480, 960)


def plan_photo(index: int, *, seed: int) -> Variant:
    """Return photo `index` (from 0) of the library of a seed."""
    random = Random(f"triptych samples {seed} {index}")  # noqa: S311  for variety, not for secrets
    round_number, position = divmod(index, len(_ROUND))
    kind = _ROUND[position]
    turn = round_number * _ROUND.count(kind) + _ROUND[:position].count(kind)
    if kind == "scene":
        picture = SCENES[turn % len(SCENES)]
        framing = frame_scene(random, picture, long_side_range=_SCENE_LONG_SIDE)
        title = picture.name
    elif kind == "portrait":
        picture, face = _PORTRAITS[turn % len(_PORTRAITS)]
        framing = frame_people(random, picture, (face,), long_side_range=_PORTRAIT_LONG_SIDE)
        title = face.person.lower().replace(" ", "-")
    else:
        picture = GROUP
        letters = _COMPANIES[turn % len(_COMPANIES)]
        people = tuple(face for face in picture.faces if face.person[-1] in letters)
        long_side_range = _EVERYBODY_LONG_SIDE if len(people) == len(picture.faces) else _TOGETHER_LONG_SIDE
        framing = frame_people(random, picture, people, long_side_range=long_side_range)
        # Neighbours may have come in whole.
        title = "-".join(["persons", *(face.person[-1].lower() for face in picture.faces if framing.shows(face))])
    encoding = _choose_encoding(random, index)
    return Variant(
        name=f"{picture.folder}/{index + 1:04d}-{title}{SUFFIXES[encoding.format]}",
        picture=picture,
        framing=framing,
        tone=_choose_tone(random),
        encoding=encoding,
        taken_at=_FIRST_PHOTO_TAKEN_AT + timedelta(hours=5 * index, seconds=random.randrange(4 * 3600)),
    )


def _choose_tone(random: Random) -> Tone:
    return Tone(
        brightness=round(random.uniform(0.85, 1.15), 3),
        contrast=round(random.uniform(0.85, 1.15), 3),
        gamma=round(random.uniform(0.85, 1.15), 3),
        warmth=round(random.uniform(0.94, 1.06), 3),
        saturation=0.0 if random.random() < 0.08 else round(random.uniform(0.7, 1.2), 3),
    )


def _choose_encoding(random: Random, index: int) -> Encoding:
    # By index and not by chance: even a small library has some of each.
    if index % 12 == 5:
        return Encoding(format="png")
    if index % 12 == 8:
        return Encoding(format="webp", quality=random.randint(75, 92))
    quality = random.randint(68, 95)
    if index % 7 == 2:
        return Encoding(quality=quality, orientation=random.choice((3, 6, 8)))
    return Encoding(quality=quality)
