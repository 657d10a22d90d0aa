"""A whole stack over scripted workers, with something of everything in it, so that generated requests reach rows."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from PIL import Image

from tests.support.access import make_token
from tests.support.real_servers import nats_server, postgres_server, run_apart
from tests.support.scripted_stack import SESSIONS, Servers, Stack, Watch
from tests.support.scripted_workers import scripted_workers

PHOTOS: Final = 12
ENOUGH: Final = 4
"""Persons, and sessions of each status, that are there before the requests of an operation."""
_BEARER: Final = "Bearer "
_DIRECTORIES: Final = "/api/v1/training/directories"
_LISTS: Final[Mapping[str, str]] = {
    "group_id": "/api/v1/faces/clusters",
    "person_id": "/api/v1/faces/persons",
    "face_session_id": "/api/v1/faces/sessions",
    "category_id": "/api/v1/categories",
    "forgetting_id": "/api/v1/privacy/forgettings",
}
"""Parameter → the list that has ids for it."""


@dataclass(frozen=True, kw_only=True)
class Seeded:
    """The stack, and values of parameters and of bodies' fields that lead somewhere."""

    stack: Stack
    """It asks for tokens."""
    credential: dict[str, str]
    """The header of a token that may do everything."""
    known: dict[str, list[Any]] = field(default_factory=dict)
    """By name in snake_case: ``session_id``, ``root_path`` …"""
    known_of: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    """Likewise for an operation (``PATCH /api/v1/…``) that means something narrower by a name."""

    @property
    def url(self) -> str:
        """Of the gateway."""
        return self.stack.gateway.url

    def learn(self) -> None:
        """Make what requests have used up, and ask for what is there now."""
        client = self.stack.client
        # In an ignored directory no session would find any photo.
        for one in client.get(f"{_DIRECTORIES}/ignored").raise_for_status().json()["directories"]:
            client.request("DELETE", f"{_DIRECTORIES}/ignore", json={"path": one["path"]}).raise_for_status()
        for path in self._left_out():
            client.post(f"{_DIRECTORIES}/ignore", json={"path": path}).raise_for_status()
        for status, make in _SESSIONS.items():
            there = client.get(SESSIONS, params={"status": status, "page_size": 1}).raise_for_status().json()["total"]
            for _ in range(there, ENOUGH):
                make(self.stack)
        self._know()
        for face_id in self.known["face_id"][: ENOUGH - len(self.known["person_id"])]:
            client.post(f"/api/v1/faces/{face_id}/person", json={"personId": None}).raise_for_status()
        self._know()

    def _know(self) -> None:
        client = self.stack.client
        # A few of each status, so that each is met as often as any other.
        of_status = {status: _ids(client, SESSIONS, status=status)[:ENOUGH] for status in _SESSIONS}
        self.known["session_id"] = [one for ids in of_status.values() for one in ids]
        self.known["job_id"] = _ids(client, f"{SESSIONS}/{of_status['completed'][0]}/jobs")
        for name, path in _LISTS.items():
            self.known[name] = _ids(client, path)
        faces = [face for group in _items(client, _LISTS["group_id"]) for face in group["sampleFaces"]]
        self.known["face_id"] = [face["id"] for face in faces]
        self.known["asset_id"] = sorted({face["assetId"] for face in faces})
        root = self.stack.gateway.media
        self.known["path"] = [str(path) for path in (root, *root.iterdir()) if path.is_dir()]
        for name, same_as in {
            "cover_face_id": "face_id",
            "root_path": "path",
            "session_ids": "session_id",
            "person_ids": "person_id",
        }.items():
            self.known[name] = self.known[same_as]
        self.known["token"] = [self.credential["authorization"].removeprefix(_BEARER)]
        self._know_narrower(completed=of_status["completed"], pending=of_status["pending"][0])

    def _know_narrower(self, *, completed: Sequence[int], pending: int) -> None:
        client = self.stack.client
        subdirectories = client.get(f"{SESSIONS}/{pending}/subdirectories").raise_for_status().json()
        self.known_of[f"PATCH {SESSIONS}/{{session_id}}/subdirectories"] = {
            "session_id": [pending],
            "id": [one["id"] for one in subdirectories],
        }
        for restart in ("restart-training", "restart-faces", "restart-clustering"):
            self.known_of[f"POST {SESSIONS}/{{session_id}}/{restart}"] = {"session_id": list(completed)}
        # A session that nobody else needs: with persons and photos what other operations ask for would go.
        self.known_of["POST /api/v1/privacy/forgettings"] = {"kind": ["session"], "id": [pending]}
        with_failures = next((one["id"] for one in _items(client, SESSIONS) if one["failedImages"] > 0), None)
        if with_failures is not None:
            self.known_of[f"POST {SESSIONS}/{{session_id}}/jobs/{{job_id}}/retry"] = {
                "session_id": [with_failures],
                "job_id": _ids(client, f"{SESSIONS}/{with_failures}/jobs", status="failed"),
            }
        photos = [str(path) for path in self.stack.gateway.media.glob("beach/*.jpg")]
        self.known_of[f"GET {_DIRECTORIES}/preview/thumbnail"] = {"path": photos}
        self.known_of[f"DELETE {_DIRECTORIES}/ignore"] = {"path": self._left_out()}

    def _left_out(self) -> list[str]:
        """Directories without photos, which are ignored before the requests of an operation."""
        return [str(path) for path in self.stack.gateway.media.glob("town/left-out-*")]


@contextlib.contextmanager
def seeded_stack() -> Iterator[Seeded]:
    """The stack with sessions in every state and the faces, groups and persons of some photos."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="triptych-contract-")))
        postgres = stack.enter_context(postgres_server())
        servers = Servers(
            postgres=postgres,
            database_url=postgres.url(postgres.create_database()),
            nats_url=stack.enter_context(nats_server(folder)),
            workers=stack.enter_context(scripted_workers()),
            folder=folder,
        )
        credential = {"authorization": _BEARER + run_apart(make_token(servers.database_url, "admin"))}
        running = stack.enter_context(servers.stack(TRIPTYCH_ACCESS="tokens"))
        running.client.headers.update(credential)
        seeded = Seeded(stack=running, credential=credential)
        _seed(seeded.stack)
        seeded.learn()
        yield seeded


def _seed(stack: Stack) -> None:
    _create_categories(stack.client)
    stack.worker("training").is_bad = lambda path: path.endswith(b"/town/0004.jpg")
    for number, name in enumerate(("beach", "mountains", "town")):
        _finish(stack, _session(stack, _photos(stack.gateway.media / name, first_colour=20 * number)))
    for number in range(ENOUGH):
        (stack.gateway.media / "town" / f"left-out-{number}").mkdir()
    _photos(stack.gateway.media / "sea", first_colour=100)
    _forget(stack, _pending(stack))
    # From now on sessions over the sea stay at work, until they are paused or cancelled.
    stack.worker("training").photos_of_work = stack.worker("training").worked


def _create_categories(client: httpx.Client) -> None:
    for name in ("Holidays", "Work", "Scans"):
        answer = client.post("/api/v1/categories", json={"name": name, "color": "#2f6fde"})
        if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED):
            return
        answer.raise_for_status()


def _forget(stack: Stack, session_id: int) -> None:
    body = {"kind": "session", "id": session_id}
    stack.client.post(_LISTS["forgetting_id"], json=body).raise_for_status()


def _photos(directory: Path, *, first_colour: int) -> Path:
    directory.mkdir()
    (directory / "inner").mkdir()
    for number in range(PHOTOS):
        place = directory if number % 3 else directory / "inner"
        picture = Image.new("RGB", (64, 48), (first_colour + number, 80, 120))
        picture.save(place / f"{number:04}.jpg")
    return directory


def _session(stack: Stack, directory: Path) -> int:
    return stack.gateway.create(stack.client, directory)


def _finish(stack: Stack, session_id: int) -> None:
    stack.start(session_id)
    Watch(stack, session_id).until("completed")


def _pending(stack: Stack) -> int:
    return _session(stack, stack.gateway.media / "sea")


def _running(stack: Stack) -> int:
    session_id = _pending(stack)
    stack.start(session_id)
    Watch(stack, session_id).until_phase("training", "running")
    return session_id


def _paused(stack: Stack) -> None:
    stack.press(_running(stack), "pause").raise_for_status()


def _cancelled(stack: Stack) -> None:
    stack.press(_pending(stack), "cancel").raise_for_status()


def _completed(stack: Stack) -> None:
    _finish(stack, _session(stack, stack.gateway.media / "beach"))


_SESSIONS: Final[Mapping[str, Callable[[Stack], object]]] = {
    "pending": _pending,
    "running": _running,
    "paused": _paused,
    "cancelled": _cancelled,
    "completed": _completed,
}


def _ids(client: httpx.Client, path: str, **query: Any) -> list[int]:
    return [item["id"] for item in _items(client, path, **query)]


def _items(client: httpx.Client, path: str, **query: Any) -> Sequence[dict[str, Any]]:
    answer = client.get(path, params={"page_size": 100, **query})
    if answer.status_code == httpx.codes.NOT_FOUND:
        return []
    items: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
    return items
