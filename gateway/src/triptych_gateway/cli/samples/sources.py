"""Where the sample pictures are, whom to thank for them and who is in them.

Faces were measured once with dlib's frontal detector in the pictures named here; sides are those of dlib's boxes (about
from the eyebrows to the chin). Pictures of people that detectors only sometimes find (a profile, heads on coins) are
left out, so that what the manifest says of a photo holds for every detector.
"""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from triptych_gateway.cli.samples.errors import PictureChangedError, PictureMissingError


@dataclass(frozen=True, kw_only=True)
class Face:
    """One face in a picture.

    `centre_x`, `centre_y` and `side` (of a square box) are in pixels of the picture. `roll_range_degrees` is how far a
    photo of the face may be turned (positive: counter-clockwise) with dlib's detector still sure of it: the range in
    which its score stayed at about 0.5 or above at face sizes of 64 to 190 pixels, mirrored and not.
    """

    person: str
    centre_x: float
    centre_y: float
    side: float
    roll_range_degrees: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture in an installed package.

    `name` goes into file names; `package` is what is imported and `distribution` what is installed; `path` is relative
    to the package; `width` and `height` are in pixels; `credit` names author and licence; `folder` is where its photos
    go. Photos show nothing below `usable_height` (in pixels from the top; None: all of it is usable).
    """

    name: str
    package: str
    distribution: str
    path: str
    width: int
    height: int
    credit: str
    folder: str
    faces: tuple[Face, ...] = ()
    usable_height: int | None = None


ASTRONAUT = Picture(
    name="astronaut",
    package="skimage",
    distribution="scikit-image",
    path="data/astronaut.png",
    width=512,
    height=512,
    credit="NASA Great Images database, public domain",
    folder="people",
    # dlib sees a face between the collar and the helmet (score 0.1, in some variants 0.4).
    usable_height=335,
    faces=(Face(person="Eileen Collins", centre_x=220, centre_y=121, side=92, roll_range_degrees=(-6, 6)),),
)

GROUP = Picture(
    name="group",
    package="insightface",
    distribution="insightface",
    path="data/images/t1.jpg",
    width=1280,
    height=886,
    credit="InsightFace's example picture; its wheel names no photographer or licence, so do not redistribute",
    folder="people",
    faces=(
        Face(person="Person A", centre_x=121, centre_y=337, side=109, roll_range_degrees=(-8, 8)),
        Face(person="Person B", centre_x=320, centre_y=221, side=100, roll_range_degrees=(-12, -7)),
        Face(person="Person C", centre_x=504, centre_y=349, side=109, roll_range_degrees=(-12, 12)),
        Face(person="Person D", centre_x=778, centre_y=421, side=109, roll_range_degrees=(-8, 8)),
        Face(person="Person E", centre_x=935, centre_y=132, side=120, roll_range_degrees=(-12, -4)),
        Face(person="Person F", centre_x=1172, centre_y=337, side=109, roll_range_degrees=(-8, 8)),
    ),
)


def _scene(
    name: str, path: str, size: tuple[int, int], credit: str, *, folder: str, of_sklearn: bool = False
) -> Picture:
    return Picture(
        name=name,
        package="sklearn" if of_sklearn else "skimage",
        distribution="scikit-learn" if of_sklearn else "scikit-image",
        path=path,
        width=size[0],
        height=size[1],
        credit=credit,
        folder=folder,
    )


_MOTORCYCLE = (
    "Middlebury 2014 stereo benchmark, D. Scharstein and others, Middlebury College; shipped with scikit-image"
)

SCENES: tuple[Picture, ...] = (
    _scene(
        "pagoda", "datasets/images/china.jpg", (640, 427), "danielbuechele, CC BY 2.0", folder="places", of_sklearn=True
    ),
    _scene("coffee", "data/coffee.png", (600, 400), "Rachel Michetti, Pikolo Espresso Bar, CC0", folder="things"),
    _scene("rocket", "data/rocket.jpg", (640, 427), "SpaceX, public domain", folder="places"),
    _scene("chelsea-the-cat", "data/chelsea.png", (451, 300), "Stefan van der Walt, CC0", folder="things"),
    _scene(
        "dahlia", "datasets/images/flower.jpg", (640, 427), "vultilion, CC BY 2.0", folder="things", of_sklearn=True
    ),
    _scene("deep-field", "data/hubble_deep_field.jpg", (1000, 872), "Hubble, NASA, public domain", folder="places"),
    _scene("motorcycle", "data/motorcycle_left.png", (741, 500), _MOTORCYCLE, folder="things"),
    _scene("brick-wall", "data/brick.png", (512, 512), "CC0Textures, CC0", folder="places"),
    _scene("grass", "data/grass.png", (512, 512), "linolafett (DeviantArt), CC0", folder="places"),
    _scene("garage", "data/motorcycle_right.png", (741, 500), _MOTORCYCLE, folder="things"),
    _scene("gravel", "data/gravel.png", (512, 512), "CC0Textures, CC0", folder="places"),
)

PICTURES: tuple[Picture, ...] = (ASTRONAUT, GROUP, *SCENES)


def find_pictures(pictures: Iterable[Picture] = PICTURES) -> dict[Picture, Path]:
    """Return where each picture is, without importing the packages that carry them.

    Raises PictureMissingError, naming everything that is to be installed.
    """
    found: dict[Picture, Path] = {}
    missing: dict[str, list[str]] = {}
    for picture in pictures:
        specification = importlib.util.find_spec(picture.package)
        folders = (specification.submodule_search_locations if specification else None) or []
        files = [file for file in (Path(folder) / picture.path for folder in folders) if file.is_file()]
        if files:
            found[picture] = files[0]
        else:
            missing.setdefault(picture.distribution, []).append(picture.path)
    if missing:
        lacking = "; ".join(f"{distribution}: {', '.join(paths)}" for distribution, paths in sorted(missing.items()))
        raise PictureMissingError(
            f"pictures for the samples are missing ({lacking}); "
            f"install the packages that carry them: pip install {' '.join(sorted(missing))}"
        )
    return found


def open_picture(picture: Picture, file: Path) -> Image.Image:
    """Read a picture into an RGB image.

    Raises PictureChangedError if it has not the dimensions in which the faces were measured.
    """
    with Image.open(file) as image:
        if image.size != (picture.width, picture.height):
            raise PictureChangedError(
                f"{file} has {image.width} × {image.height} pixels, not {picture.width} × {picture.height}: "
                f"this version of {picture.distribution} carries another picture"
            )
        return image.convert("RGB")
