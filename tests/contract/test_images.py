"""Photos and their pictures over REST: keys, sizes, caching, and that nothing outside the media roots is shown."""

import io
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.contract.conftest import Alter
from tests.support.real_servers import wait_for
from tests.support.running_gateway import Gateway
from tools.openapi import openapi_document
from triptych_gateway.api.document import operations

IMAGES = "/api/v1/images"
ASSET_KEYS = {"id", "path", "width", "height", "sizeBytes", "takenAt", "missingAt", "faces"}
FACE_KEYS = {"id", "assetId", "personId", "groupId", "box", "score", "probability", "imageUrl", "cropUrl"}
SIDEWAYS = 6
"""EXIF orientation of a picture that is to be turned by a quarter to the right."""

Known = Callable[[], dict[str, int]]


@pytest.fixture
def known(client: httpx.Client, gateway: Gateway, folder: Path) -> Known:
    """Makes the files of the folder photos of the library; returns their ids by name."""

    def find() -> dict[str, int]:
        session_id = gateway.create(client, folder)
        client.post(f"/api/v1/training/sessions/{session_id}/start").raise_for_status()
        session = f"/api/v1/training/sessions/{session_id}"
        wait_for(
            lambda: client.get(session).json()["totalImages"] == len(list(folder.iterdir())), "the photos are known"
        )
        jobs = client.get(f"{session}/jobs", params={"page_size": 100}).json()["items"]
        return {Path(job["imagePath"]).name: job["assetId"] for job in jobs}

    return find


def picture(width: int = 60, height: int = 40) -> Image.Image:
    """A gradient, dark on the left."""
    return Image.fromarray(np.tile(np.linspace(0, 255, width, dtype=np.uint8)[:, None], (height, 1, 3)))


def place_face(alter: Alter, asset_id: int, *, version: int = 1, model: str = "faces/of-now") -> None:
    """A face that a model found in that version of a photo."""
    alter(
        """INSERT INTO face_scans (asset_id, model_id, generation, asset_version, face_count)
           VALUES (:id, :model, 1, :version, 1)""",
        id=asset_id,
        model=model,
        version=version,
    )
    alter(
        """INSERT INTO faces (asset_id, model_id, generation, position, x, y, width, height, landmarks, score,
               embedding) VALUES (:id, :model, 1, 0, 0.1, 0.2, 0.3, 0.4, '[]', 0.9, '[1,0]')""",
        id=asset_id,
        model=model,
    )


def refused(answer: httpx.Response, reason: str) -> str:
    """The sentence of a photo that cannot be shown."""
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "image_unreadable"), answer.text
    assert answer.json()["error"]["details"] == {"reason": reason}
    message: str = answer.json()["message"]
    return message


def test_a_photo_has_the_contracts_keys_and_its_faces(
    client: httpx.Client, folder: Path, known: Known, alter: Alter
) -> None:
    picture().save(folder / "a.jpg")
    asset_id = known()["a.jpg"]
    before = client.get(f"{IMAGES}/{asset_id}").json()
    for version, model in ((1, "faces/of-now"), (0, "faces/of-an-older-version")):
        place_face(alter, asset_id, version=version, model=model)

    after = client.get(f"{IMAGES}/{asset_id}").json()

    assert before.keys() == ASSET_KEYS
    assert (before["path"], before["sizeBytes"]) == (str(folder / "a.jpg"), (folder / "a.jpg").stat().st_size)
    assert (before["faces"], before["width"], before["missingAt"]) == ([], None, None)
    [face] = after["faces"]
    assert face.keys() >= FACE_KEYS
    assert (face["model"], face["assetId"]) == ("faces/of-now", asset_id)
    assert face["box"] == {"x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4}
    crop = client.get(face["cropUrl"])
    assert Image.open(io.BytesIO(crop.content)).size == (160, 160)


def test_every_picture_answers_head_as_get_without_the_picture(
    client: httpx.Client, folder: Path, known: Known, alter: Alter
) -> None:
    picture().save(folder / "a.jpg")
    picture().save(folder / "b.tif")
    ids = known()
    place_face(alter, ids["a.jpg"])
    [face] = client.get(f"{IMAGES}/{ids['a.jpg']}").json()["faces"]
    preview = f"/api/v1/training/directories/preview/thumbnail?path={folder / 'a.jpg'}"
    pictures = {
        f"{IMAGES}/{{asset_id}}/thumbnail": [f"{IMAGES}/{ids['a.jpg']}/thumbnail?size=50"],
        f"{IMAGES}/{{asset_id}}/full": [f"{IMAGES}/{asset_id}/full" for asset_id in ids.values()],
        "/api/v1/faces/{face_id}/crop": [face["cropUrl"]],
        "/api/v1/training/directories/preview/thumbnail": [preview],
    }
    assert pictures.keys() == set(described_pictures())

    for url in itertools.chain.from_iterable(pictures.values()):
        got, head = client.get(url), client.head(url)
        assert (got.status_code, head.status_code, head.content) == (200, 200, b""), url
        assert len(got.content) == int(head.headers["content-length"])
        assert all(head.headers[name] == got.headers[name] for name in ("content-type", "etag", "cache-control"))
        assert client.head(url, headers={"if-none-match": got.headers["etag"]}).status_code == 304
    assert client.head(f"{IMAGES}/{2**62}/thumbnail").status_code == 404
    assert client.head("/api/v1/training/sessions").status_code == 405


def described_pictures() -> Iterator[str]:
    """Paths that are described to answer with a picture."""
    for path, method, operation in operations(openapi_document()):
        if method == "get" and any(kind.startswith("image/") for kind in operation["responses"]["200"]["content"]):
            yield path


def test_a_thumbnail_is_upright_and_never_larger_than_asked_or_than_the_photo(
    client: httpx.Client, folder: Path, known: Known
) -> None:
    exif = Image.Exif()
    exif[0x0112] = SIDEWAYS
    picture(600, 400).save(folder / "sideways.jpg", exif=exif)
    picture(60, 40).save(folder / "small.png")
    ids = known()

    def size(name: str, **query: int) -> tuple[int, int]:
        answer = client.get(f"{IMAGES}/{ids[name]}/thumbnail", params=query)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        return Image.open(io.BytesIO(answer.content)).size

    assert size("sideways.jpg", size=100) == (67, 100)
    assert max(size("sideways.jpg")) == 400
    assert size("small.png", size=1600) == (60, 40)
    for wrong in ("15", "1601", "many"):
        assert client.get(f"{IMAGES}/{ids['small.png']}/thumbnail", params={"size": wrong}).status_code == 422


@pytest.mark.parametrize("kind", ["thumbnail", "full"])
def test_a_reader_that_has_the_picture_is_told_so(client: httpx.Client, folder: Path, known: Known, kind: str) -> None:
    picture().save(folder / "a.jpg")
    path = f"{IMAGES}/{known()['a.jpg']}/{kind}"
    first = client.get(path)
    etag = first.headers["etag"]

    def status(if_none_match: str) -> int:
        answer = client.get(path, headers={"if-none-match": if_none_match})
        assert answer.headers["etag"] == etag
        assert (answer.content == b"") == (answer.status_code == 304)
        return answer.status_code

    assert etag.startswith('"')
    assert "max-age" in first.headers["cache-control"]
    assert [status(one) for one in (etag, f"W/{etag}", f'"other", {etag}', "*")] == [304] * 4
    # Not even a part of the tag is the tag.
    assert [status(one) for one in ('"other"', etag[1:-1], etag[:-2] + '"', f'"x{etag[1:]}')] == [200] * 4


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("JPEG", "image/jpeg"),
        ("PNG", "image/png"),
        ("WEBP", "image/webp"),
        ("GIF", "image/gif"),
        ("AVIF", "image/avif"),
    ],
)
def test_the_whole_picture_is_the_file_itself_where_browsers_show_it(
    client: httpx.Client, folder: Path, known: Known, kind: str, media_type: str
) -> None:
    # By what is in the file, not by what it is called.
    picture().save(folder / "a.tif", format=kind)

    answer = client.get(f"{IMAGES}/{known()['a.tif']}/full")

    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.content == (folder / "a.tif").read_bytes()
    assert answer.headers["content-length"] == str(len(answer.content))


def test_the_whole_picture_is_an_upright_jpeg_of_full_size_where_they_do_not(
    client: httpx.Client, folder: Path, known: Known
) -> None:
    exif = Image.Exif()
    exif[0x0112] = SIDEWAYS
    picture(600, 400).save(folder / "a.tiff", exif=exif)

    answer = client.get(f"{IMAGES}/{known()['a.tiff']}/full")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(answer.content)).size == (400, 600)


def test_the_whole_picture_is_as_large_as_a_jpeg_can_be_where_the_photo_is_longer(
    client: httpx.Client, folder: Path, known: Known
) -> None:
    Image.new("L", (66_000, 4), 128).save(folder / "a.tiff")

    answer = client.get(f"{IMAGES}/{known()['a.tiff']}/full")

    assert answer.status_code == 200, answer.text
    assert Image.open(io.BytesIO(answer.content)).size == (65_500, 4)


def test_a_file_that_changed_since_it_was_found_has_another_tag(
    client: httpx.Client, folder: Path, known: Known
) -> None:
    picture().save(folder / "a.jpg")
    path = f"{IMAGES}/{known()['a.jpg']}/full"
    etag = client.get(path).headers["etag"]
    picture(80, 30).save(folder / "a.jpg")

    answer = client.get(path, headers={"if-none-match": etag})

    assert answer.status_code == 200
    assert answer.content == (folder / "a.jpg").read_bytes()


@pytest.mark.parametrize("kind", ["thumbnail", "full"])
def test_a_photo_that_cannot_be_shown_is_409_with_the_reason(
    client: httpx.Client, folder: Path, known: Known, kind: str
) -> None:
    for name in ("gone.tif", "broken.tif", "pipe.tif"):
        (folder / name).write_bytes(b"no picture")
    ids = known()
    (folder / "gone.tif").unlink()
    (folder / "pipe.tif").unlink()
    os.mkfifo(folder / "pipe.tif")

    def shown(name: str) -> httpx.Response:
        return client.get(f"{IMAGES}/{ids[name]}/{kind}")

    refused(shown("gone.tif"), "not_found")
    refused(shown("broken.tif"), "unsupported_format")
    refused(shown("pipe.tif"), "unsupported_format")


@pytest.mark.parametrize("kind", ["thumbnail", "full"])
def test_what_a_link_leads_to_is_looked_at_when_it_is_read(
    client: httpx.Client, folder: Path, known: Known, tmp_path: Path, kind: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    picture(90, 20).save(outside / "secret.jpg")
    picture().save(folder / "a.jpg")
    path = f"{IMAGES}/{known()['a.jpg']}/{kind}"
    # Also where a picture of it is kept already.
    assert client.get(path).status_code == 200
    (folder / "a.jpg").unlink()

    (folder / "a.jpg").symlink_to(outside / "secret.jpg")
    there = refused(client.get(path), "path_not_allowed")
    (outside / "secret.jpg").unlink()
    absent = refused(client.get(path), "path_not_allowed")

    assert there == absent
    assert "outside/" not in there


@pytest.mark.parametrize("kind", ["", "/thumbnail", "/full"])
def test_an_unknown_photo_is_404(client: httpx.Client, kind: str) -> None:
    answer = client.get(f"{IMAGES}/{2**62}{kind}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
