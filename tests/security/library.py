"""Something of everything behind the gateway, so that who may look finds something, and who may not, would."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from PIL import Image

from tests.support.catalogue import found, new_session
from tests.support.people import detect, regroup
from tests.support.real_servers import run_apart, wait_for
from tests.support.running_gateway import Gateway
from triptych_gateway.catalog.database import create_engine
from triptych_gateway.catalog.library.photos import FoundPhoto, add_photos

ABSENT: Final = 2**62
"""An id that nothing has."""
PHOTO: Final = "photo.jpg"
_LISTS: Final = {
    "session_id": "/api/v1/training/sessions",
    "category_id": "/api/v1/categories",
    "face_session_id": "/api/v1/faces/sessions",
    "person_id": "/api/v1/faces/persons",
    "group_id": "/api/v1/faces/clusters",
    "face_id": "/api/v1/faces/unassigned",
    "forgetting_id": "/api/v1/privacy/forgettings",
}
"""Part of a path → the list that has an id for it."""


@dataclass(frozen=True, kw_only=True)
class Library:
    """A session with one photo, in which are three faces."""

    folder: Path
    """Under the media root."""
    ids: Mapping[str, int]
    """By the name of the part of a path."""
    hidden: Mapping[str, Sequence[str]]
    """Of each kind, paths that are under no media root once they are resolved: some of what is there, some of not."""

    @property
    def photo(self) -> Path:
        """Its file."""
        return self.folder / PHOTO


def fill(gateway: Gateway, client: httpx.Client) -> Library:
    """Make it. The client may do everything."""
    folder = gateway.media / "family"
    folder.mkdir()
    Image.new("RGB", (64, 48), (20, 80, 120)).save(folder / PHOTO)
    file = (folder / PHOTO).stat()
    photo = found(bytes(folder / PHOTO), size=file.st_size, modified=file.st_mtime_ns)
    run_apart(_fill_catalogue(gateway.database_url, photo))
    client.post(_LISTS["category_id"], json={"name": "Family"}).raise_for_status()
    _forget(client, gateway.create(client))
    ids = {name: _first(client, path)["id"] for name, path in _LISTS.items()}
    job = _first(client, f"{_LISTS['session_id']}/{ids['session_id']}/jobs")
    ids |= {"job_id": job["id"], "asset_id": job["assetId"]}
    return Library(folder=folder, ids=ids, hidden=_hide(gateway.media, folder))


def _forget(client: httpx.Client, session_id: int) -> None:
    body = {"kind": "session", "id": session_id}
    asked = client.post(_LISTS["forgetting_id"], json=body).raise_for_status().json()
    where = f"{_LISTS['forgetting_id']}/{asked['id']}"
    wait_for(lambda: client.get(where).raise_for_status().json()["doneAt"] is not None, "a session is forgotten")


def _hide(media: Path, folder: Path) -> dict[str, list[str]]:
    """A directory and a file beside the media root, named in every way that does not lead under it."""
    outside = media.parent / "outside"
    outside.mkdir()
    (outside / PHOTO).write_bytes((folder / PHOTO).read_bytes())
    for name in ("out", "out.jpg", "absent", "absent.jpg"):
        target = outside / PHOTO if name == "out.jpg" else outside / ("" if name == "out" else name)
        (folder / name).symlink_to(target)
    there, absent = outside, outside / "absent"
    return {
        "a directory": [str(there), str(absent), "/", "/root", "/no/such/thing"],
        "a photo": [str(there / PHOTO), str(there / "absent.jpg"), "/etc/passwd.jpg"],
        "a relative path": ["outside", "absent", "../outside", "."],
        "dots": [f"{folder}/../../outside", f"{folder}/../../absent", f"{folder}/../../outside/{PHOTO}"],
        "a link": [str(folder / name) for name in ("out", "absent")],
        "a link to a photo": [str(folder / name) for name in ("out.jpg", "absent.jpg")],
        "a sibling": [f"{media}-other", str(media.parent)],
        "a bucket": ["s3://family", "s3://absent/photo.jpg"],
        "a NUL": [f"{there}\0", f"{absent}\0", f"{folder}/\0/.."],
    }


def contents(client: httpx.Client) -> dict[str, Any]:
    """All that is there, to compare it with what is there later."""
    return {path: client.get(path).raise_for_status().json() for path in _LISTS.values()}


async def _fill_catalogue(database_url: str, photo: FoundPhoto) -> None:
    engine = create_engine(database_url)
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        await add_photos(connection, session_id, [photo])
        ids = await detect(connection, session_id, [3])
        await regroup(connection, session_id, ids[:2], outliers=ids[2:])
    await engine.dispose()


def _first(client: httpx.Client, path: str) -> dict[str, Any]:
    item: dict[str, Any] = client.get(path).raise_for_status().json()["items"][0]
    return item
