"""What `make screenshots` pictures: every page and state by its name, and what brings them about.

A whole stack trains sample photos for real, and is held or slowed where a state is to be seen.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from tests.browser import page_states
from tests.browser.conftest import TRAIN_SECONDS, ended, write_samples
from tests.browser.guarded_gateway import guarded_gateway
from tests.browser.older_session import make_older
from tests.browser.pacing import photo_by_photo
from tests.browser.page_states import PageState
from tests.support.running_triptych import Client, Triptych

_PHOTOS: Final = 48
_PHOTOS_AT_WORK: Final = 64
"""So many that none of the states at work outlasts them."""
_SHARD_PHOTOS: Final = 16


class Studio(Protocol):
    """What a scene is made with, and what pictures it."""

    @property
    def running(self) -> Triptych:
        """The stack."""

    @property
    def client(self) -> Client:
        """REST calls to it."""

    @property
    def media(self) -> Path:
        """Where photos may be put."""

    async def picture(self, states: Mapping[str, PageState], *, url: str | None = None) -> None:
        """Picture pages in these states; of another gateway where one is named."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """States that one run of the stack brings about, one after the other."""

    names: tuple[str, ...]
    make: Callable[[Studio], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Library:
    """A library that was trained, and what is in it."""

    photos: Path
    completed: int
    """The id of a session, like the next two."""
    failed: int
    pending: int
    named: int
    """The id of a person, like the next two."""
    unnamed: int
    third: int

    @property
    def session(self) -> str:
        """The address of the completed session."""
        return f"#/sessions/{self.completed}"

    @property
    def person(self) -> str:
        """The address of the person who has a name."""
        return f"#/people/{self.named}"


_EMPTY: Final = {
    "sessions-empty": PageState(address="#/sessions"),
    "people-empty": PageState(address="#/people"),
    "unsorted-empty": PageState(address="#/people/unsorted"),
    "search-empty": PageState(address="#/search"),
}

_AT_REST: Final[Mapping[str, Callable[[Library], PageState]]] = {
    "sessions": lambda _: PageState(address="#/sessions"),
    "sessions-loading": lambda _: PageState(address="#/sessions", before=page_states.hold_answers),
    "new-session": lambda _: PageState(address="#/sessions/new", bring_about=page_states.wait_for_folders),
    "new-session-folder": lambda at: PageState(address="#/sessions/new", bring_about=page_states.look_at(at.photos)),
    "new-session-empty": lambda _: PageState(address="#/sessions/new", bring_about=page_states.send_empty_form),
    "completed": lambda at: PageState(address=at.session),
    "completed-menu": lambda at: PageState(address=at.session, bring_about=page_states.open_menu),
    "completed-asked": lambda at: PageState(address=at.session, bring_about=page_states.ask_whether),
    "completed-removal": lambda at: PageState(address=at.session, bring_about=page_states.open_removal),
    "completed-forget-asked": lambda at: PageState(
        address=at.session, bring_about=page_states.ask_whether_to_forget_session
    ),
    "failed": lambda at: PageState(address=f"#/sessions/{at.failed}"),
    "pending": lambda at: PageState(address=f"#/sessions/{at.pending}"),
    "session-loading": lambda at: PageState(address=at.session, before=page_states.hold_answers),
    "session-unknown": lambda _: PageState(address="#/sessions/999999"),
    "people": lambda _: PageState(address="#/people"),
    "people-merging": lambda _: PageState(address="#/people", bring_about=page_states.pick_two),
    "people-merge-asked": lambda _: PageState(address="#/people", bring_about=page_states.ask_whether_one),
    "people-hidden": lambda _: PageState(address="#/people", bring_about=page_states.show_hidden),
    "people-gateway-away": lambda _: PageState(address="#/people", before=page_states.lose_gateway),
    "person": lambda at: PageState(address=f"#/people/{at.unnamed}"),
    "person-named": lambda at: PageState(address=at.person),
    "person-opened": lambda at: PageState(address=at.person, bring_about=page_states.open_face),
    "person-namesake": lambda at: PageState(
        address=f"#/people/{at.third}", bring_about=page_states.give_a_name_that_is_taken
    ),
    "person-photo-forget-asked": lambda at: PageState(
        address=at.person, bring_about=page_states.ask_whether_to_forget_photo
    ),
    "person-not-another": lambda at: PageState(address=at.person, bring_about=page_states.pick_another),
    "person-unknown": lambda _: PageState(address="#/people/999999"),
    "unsorted": lambda _: PageState(address="#/people/unsorted"),
    "search": lambda _: PageState(address="#/search"),
    "search-picture-gone": lambda _: PageState(address="#/search?picture=boat.jpg"),
    "search-refused": lambda _: PageState(address="#/search", bring_about=page_states.search_in_words),
    "search-found": lambda at: PageState(
        address="#/search", bring_about=page_states.search_by(next(at.photos.rglob("*.jpg")))
    ),
    "similar": lambda _: PageState(address="#/search/photo/1"),
    "unknown": lambda _: PageState(address="#/nowhere"),
    # The last: it is gone then.
    "session-deleted": lambda at: PageState(address=f"#/sessions/{at.pending}", bring_about=page_states.delete_session),
}


async def picture_empty(studio: Studio) -> None:
    """Picture what there is before the first session."""
    await studio.picture(_EMPTY)


async def picture_at_rest(studio: Studio) -> None:
    """Train, and picture what nothing changes any more."""
    library = await train(studio.client, studio.media)
    await studio.picture({name: make(library) for name, make in _AT_REST.items()})


async def train(client: Client, media: Path) -> Library:
    """A library with a session that completed, one that failed and one that waits, and with a person who has a name."""
    summer = await asyncio.to_thread(write_samples, media / "summer", count=_PHOTOS, seed=1)
    await asyncio.to_thread((summer / "people" / "cut-off.jpg").write_bytes, b"\xff\xd8\xff\xe0 no more than this")
    completed = await client.begin(summer, shard_photos=_SHARD_PHOTOS)
    await ended(client, completed)
    one, other, third, fourth = (await client.get("/faces/persons"))["items"][:4]
    await client.change(f"/faces/persons/{one['id']}", {"name": "Ada Lovelace"})
    (await client.post(f"/faces/persons/{one['id']}/different", json={"personIds": [other["id"]]})).raise_for_status()
    face = (await client.get(f"/faces/persons/{fourth['id']}/faces"))["items"][0]
    (await client.delete(f"/faces/{face['id']}/person")).raise_for_status()
    pending = await client.post("/training/sessions", json={"name": "Not yet", "rootPath": str(summer)})
    return Library(
        photos=summer,
        completed=completed,
        failed=await fail(client, media / "broken"),
        pending=pending.json()["id"],
        named=one["id"],
        unnamed=other["id"],
        third=third["id"],
    )


async def fail(client: Client, folder: Path) -> int:
    """The id of a session that failed: none of its photos is one."""
    await asyncio.to_thread(folder.mkdir)
    await asyncio.to_thread((folder / "notes.jpg").write_text, "no photo")
    session_id = await client.begin(folder, shard_photos=_SHARD_PHOTOS)
    async for _ in client.watch(session_id, deadline_seconds=TRAIN_SECONDS):
        pass
    return session_id


async def picture_at_work(studio: Studio) -> None:
    """Picture a session in the middle of face detection, held there, paused and cancelled."""
    client, running = studio.client, studio.running
    winter = await asyncio.to_thread(write_samples, studio.media / "winter", count=_PHOTOS_AT_WORK, seed=2)
    session_id = await client.begin(winter, shard_photos=_SHARD_PHOTOS)
    page = PageState(address=f"#/sessions/{session_id}")
    away = PageState(address=page.address, before=page_states.refuse_streams, bring_about=page_states.notice_the_loss)
    await until(client, session_id, lambda snapshot: faces_looked_for(snapshot) >= 8)
    with running.held("facedetect"):
        await until(client, session_id, lambda snapshot: snapshot["overallProgress"]["stall"] is not None)
        await studio.picture({"stalled": page})
    async with photo_by_photo(running, client, session_id):
        await until(client, session_id, lambda snapshot: snapshot["overallProgress"]["stall"] is None)
        await studio.picture({"running": page})
        await studio.picture({"sessions-running": PageState(address="#/sessions")})
        await studio.picture({"running-gateway-away": away})
        (await client.post(f"/training/sessions/{session_id}/pause")).raise_for_status()
    await studio.picture({"paused": page})
    (await client.post(f"/training/sessions/{session_id}/cancel")).raise_for_status()
    await studio.picture({"cancelled": page})


async def picture_beginning(studio: Studio) -> None:
    """Picture a session that gets ready, held there."""
    photos = await asyncio.to_thread(write_samples, studio.media / "spring", count=8, seed=5)
    with studio.running.held("embedder"):
        session_id = await studio.client.begin(photos, shard_photos=_SHARD_PHOTOS)
        await studio.picture({"getting-ready": PageState(address=f"#/sessions/{session_id}")})
    await ended(studio.client, session_id)


async def until(client: Client, session_id: int, holds: Callable[[Any], bool]) -> None:
    """Wait until something holds of a session's progress. Raises AssertionError where the session ends before that."""
    async for watch in client.watch(session_id, deadline_seconds=TRAIN_SECONDS):
        if holds(watch.last):
            return
    raise AssertionError("the session ended before that")


def faces_looked_for(snapshot: Any) -> int:
    """Photos in which faces were looked for."""
    done: int = snapshot["phases"]["faceDetection"]["progress"]["current"]
    return done


async def picture_clustering(studio: Studio) -> None:
    """Picture a session whose faces are grouped again, held there."""
    photos = await asyncio.to_thread(write_samples, studio.media / "autumn", count=8, seed=4)
    session_id = await studio.client.begin(photos, shard_photos=_SHARD_PHOTOS)
    await ended(studio.client, session_id)
    with studio.running.held("cluster"):
        (await studio.client.post(f"/training/sessions/{session_id}/restart-clustering")).raise_for_status()
        await studio.picture({"clustering": PageState(address=f"#/sessions/{session_id}")})
    await ended(studio.client, session_id)


async def picture_older(studio: Studio) -> None:
    """Picture a session that trained and did no more."""
    photos = await asyncio.to_thread(write_samples, studio.media / "long ago", count=8, seed=3)
    session_id = await studio.client.begin(photos, shard_photos=_SHARD_PHOTOS)
    await ended(studio.client, session_id)
    await make_older(studio.running, studio.client, session_id)
    await studio.picture({"training-only": PageState(address=f"#/sessions/{session_id}")})


async def picture_login(studio: Studio) -> None:
    """Picture what a gateway that asks for tokens shows to who has none."""
    with tempfile.TemporaryDirectory() as folder, guarded_gateway(studio.running, Path(folder)) as guarded:
        refused = PageState(address="#/sessions", bring_about=page_states.log_in_in_vain)
        await studio.picture({"login": PageState(address="#/sessions"), "login-refused": refused}, url=guarded.url)


# In this order: nothing is there yet for the first.
SCENES: Final = (
    Scene(names=tuple(_EMPTY), make=picture_empty),
    Scene(names=tuple(_AT_REST), make=picture_at_rest),
    Scene(
        names=("stalled", "running", "sessions-running", "running-gateway-away", "paused", "cancelled"),
        make=picture_at_work,
    ),
    Scene(names=("getting-ready",), make=picture_beginning),
    Scene(names=("clustering",), make=picture_clustering),
    Scene(names=("training-only",), make=picture_older),
    Scene(names=("login", "login-refused"), make=picture_login),
)
