"""A directory of every photo that makes trouble: broken, disguised, unreachable, oddly named or oddly stored.

Made on the spot from a few coloured rectangles, so that nothing binary is kept with the tests.
"""

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, features

WIDTH, HEIGHT = 96, 64
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
BOMB_SIDE = 30_000

CORRUPT = "corrupt"
UNSUPPORTED_FORMAT = "unsupported_format"
EMPTY_FILE = "empty_file"
TOO_LARGE = "too_large"
PERMISSION_DENIED = "permission_denied"
SYMLINK_LOOP = "symlink_loop"
NOT_FOUND = "not_found"

# How an upright photo is turned before it is stored, so that the orientation tells viewers the way back.
_STORED_AS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True, kw_only=True)
class HostilePhotos:
    """What was made; all paths are relative to the directory, as bytes.

    `readable`: photos that are to be decoded, however odd. `upright`: those of them that, once upright, are red, green,
    blue and white (top left, top right, bottom left, bottom right). `bad`: files that are not readable, each with the
    code of the error to be recorded. `folders`: directories that are not to be entered, with theirs.
    """

    directory: bytes
    readable: tuple[bytes, ...]
    upright: tuple[bytes, ...]
    bad: dict[bytes, str]
    folders: dict[bytes, str]


def make_hostile_photos(directory: Path) -> HostilePhotos:
    """Write the photos to a directory that does not exist or is empty.

    Root may read files of mode 000 and enter such directories: if the tests run as root, whatever reads the photos has
    to run as another user (with rights to the directory's parents), or else `permission_denied` does not happen. Call
    `make_removable` before the directory is removed by anyone but root.
    """
    directory.mkdir(parents=True, exist_ok=True)
    oriented = _write_oriented(directory)
    plain = _write_plain(directory)
    odd = _write_odd(directory)
    return HostilePhotos(
        directory=os.fsencode(directory),
        readable=(*oriented, *plain, *odd),
        upright=(*oriented, *plain),
        bad=_write_bad(directory),
        folders=_write_folders(directory),
    )


def make_removable(photos: HostilePhotos) -> None:
    """Give the locked file and directory back the rights that removing them needs."""
    for path, code in (*photos.folders.items(), *photos.bad.items()):
        if code == PERMISSION_DENIED:
            (Path(os.fsdecode(photos.directory)) / os.fsdecode(path)).chmod(0o700)


def corner_colours(image: Image.Image) -> tuple[tuple[int, int, int], ...]:
    """Return the pure colour nearest to each quarter's: top left, top right, bottom left, bottom right."""
    pixels = np.asarray(image.convert("RGB"), dtype=np.int64)
    height, width = pixels.shape[:2]
    pure = np.array([RED, GREEN, BLUE, WHITE])
    found: list[tuple[int, int, int]] = []
    for y in (height // 4, height - height // 4 - 1):
        for x in (width // 4, width - width // 4 - 1):
            nearest = pure[int(((pure - pixels[y, x]) ** 2).sum(axis=1).argmin())]
            found.append((int(nearest[0]), int(nearest[1]), int(nearest[2])))
    return tuple(found)


def quartered_image() -> Image.Image:
    """Return an RGB image of WIDTH × HEIGHT pixels whose quarters are red, green, blue and white, in reading order."""
    image = Image.new("RGB", (WIDTH, HEIGHT), WHITE)
    image.paste(RED, (0, 0, WIDTH // 2, HEIGHT // 2))
    image.paste(GREEN, (WIDTH // 2, 0, WIDTH, HEIGHT // 2))
    image.paste(BLUE, (0, HEIGHT // 2, WIDTH // 2, HEIGHT))
    return image


def _write_oriented(directory: Path) -> tuple[bytes, ...]:
    """Write a JPEG for each EXIF orientation, 1 to 8."""
    names = []
    for orientation in range(1, 9):
        upright = quartered_image()
        stored = upright.transpose(_STORED_AS[orientation]) if orientation in _STORED_AS else upright
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        name = f"orientation-{orientation}.jpg"
        stored.save(directory / name, exif=exif, quality=95, subsampling=0)
        names.append(os.fsencode(name))
    return tuple(names)


def _write_plain(directory: Path) -> tuple[bytes, ...]:
    """Write photos in formats and under names that are less common; all are upright as stored."""
    image = quartered_image()
    writers: dict[bytes, Callable[[Path], object]] = {
        b"cmyk.jpg": lambda file: image.convert("CMYK").save(file, "JPEG", quality=95),
        b"palette-transparent.png": lambda file: _palette_image().save(file, "PNG", transparency=4),
        b"animated.webp": lambda file: image.save(file, "WEBP", **_animation(), lossless=True),
        b"animated.gif": lambda file: image.save(file, "GIF", **_animation()),
        b"photo.heic": lambda file: pillow_heif.from_pillow(image).save(file, quality=95, chroma=444),
        b"UPPER.JPG": lambda file: image.save(file, "JPEG", quality=95),
        b"a-jpeg-in-truth.png": lambda file: image.save(file, "JPEG", quality=95),
        b"two\nlines.jpg": lambda file: image.save(file, "JPEG", quality=95),
        b"not-utf-8-\xff\xfe\xe9.jpg": lambda file: image.save(file, "JPEG", quality=95),
        "Größe 100% #1?日本 .jpg".encode(): lambda file: image.save(file, "JPEG", quality=95),
    }
    if features.check("avif"):
        writers[b"photo.avif"] = lambda file: image.save(file, "AVIF", quality=95, subsampling="4:4:4")
    for name, write in writers.items():
        write(directory / os.fsdecode(name))
    return tuple(writers)


def _palette_image() -> Image.Image:
    """Return the four quarters by palette index 0 to 3, with a patch of index 4 in their midst."""
    indices = np.empty((HEIGHT, WIDTH), dtype=np.uint8)
    top, left = np.arange(HEIGHT) < HEIGHT // 2, np.arange(WIDTH) < WIDTH // 2
    indices[:] = 2 * ~top[:, np.newaxis] + ~left[np.newaxis, :]
    indices[HEIGHT // 2 - 4 : HEIGHT // 2 + 4, WIDTH // 2 - 4 : WIDTH // 2 + 4] = 4
    image = Image.fromarray(indices).convert("P")
    image.putpalette([*RED, *GREEN, *BLUE, *WHITE, 0, 0, 0])
    return image


def _animation() -> dict[str, object]:
    frames = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in (RED, GREEN)]
    return {"save_all": True, "append_images": frames, "duration": 100, "loop": 0}


def _write_odd(directory: Path) -> tuple[bytes, ...]:
    """Write photos with other depths, channels and sizes than a camera's; they have no colours to know them by."""
    grey = np.tile(np.linspace(0, 65535, WIDTH, dtype=np.uint16), (HEIGHT, 1))
    Image.fromarray(grey).save(directory / "sixteen-bit.png")
    Image.fromarray(grey).save(directory / "sixteen-bit.tiff")
    Image.new("LA", (WIDTH, HEIGHT), (128, 64)).save(directory / "grey-alpha.png")
    Image.new("RGB", (1, 1), RED).save(directory / "one-pixel.png")
    return b"sixteen-bit.png", b"sixteen-bit.tiff", b"grey-alpha.png", b"one-pixel.png"


def _write_bad(directory: Path) -> dict[bytes, str]:
    image = quartered_image().resize((WIDTH * 8, HEIGHT * 8))
    whole = directory / "truncated.jpg"
    image.save(whole, quality=95)
    encoded = whole.read_bytes()
    whole.write_bytes(encoded[: len(encoded) // 2])
    (directory / "text.jpg").write_text("This is no photo.\n" * 40, encoding="utf-8")
    (directory / "empty.jpg").touch()
    _write_bomb(directory / "bomb.png")
    locked = directory / "locked.jpg"
    image.save(locked)
    locked.chmod(0)
    (directory / "itself.jpg").symlink_to("itself.jpg")
    (directory / "dangling.jpg").symlink_to("nowhere.jpg")
    return {
        b"truncated.jpg": CORRUPT,
        b"text.jpg": UNSUPPORTED_FORMAT,
        b"empty.jpg": EMPTY_FILE,
        b"bomb.png": TOO_LARGE,
        b"locked.jpg": PERMISSION_DENIED,
        b"itself.jpg": SYMLINK_LOOP,
        b"dangling.jpg": NOT_FOUND,
    }


def _write_folders(directory: Path) -> dict[bytes, str]:
    """Write a directory that may not be entered, with a photo in it, and one that leads back to its own parent."""
    locked = directory / "locked"
    locked.mkdir()
    quartered_image().save(locked / "inside.jpg")
    locked.chmod(0)
    (directory / "sub").mkdir()
    (directory / "sub" / "loop").symlink_to("..", target_is_directory=True)
    return {b"locked": PERMISSION_DENIED, b"sub/loop": SYMLINK_LOOP}


def _write_bomb(file: Path) -> None:
    """Write a valid black PNG of BOMB_SIDE × BOMB_SIDE one-bit pixels: half a megabyte that decodes to 900."""
    compressor = zlib.compressobj(level=1)
    # Each row begins with the byte that names its filter: 0, none.
    rows = bytes(1 + BOMB_SIDE // 8) * 100
    data = b"".join(compressor.compress(rows) for _ in range(BOMB_SIDE // 100)) + compressor.flush()
    header = struct.pack(">IIBBBBB", BOMB_SIDE, BOMB_SIDE, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
