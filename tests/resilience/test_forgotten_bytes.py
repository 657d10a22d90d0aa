"""What was forgotten and scrubbed is in no file any more: a real library, and every byte under the data directory."""

import contextlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.disk_search import files_with, part_of_half_vector, part_of_vector
from tests.support.real_servers import eventually
from tests.support.running_triptych import Client, Triptych, clean_environment, triptych, triptych_up, working_directory
from triptych_gateway.cli.stack.postgres import EmbeddedPostgres

PHOTOS = 18
TRAIN_SECONDS = 240
NAME = "Wilhelmina Forgetmenot-Quux"
SESSION_NAME = "a-session-nobody-shall-remember"
KEPT_NAME = "Bartholomew Stays-Here"

Patterns = dict[str, list[bytes]]


@dataclass(frozen=True, kw_only=True)
class Before:
    """What is there, and by which bytes it is known on disk."""

    person: int
    other: int
    photo: int
    photo_path: str
    own: int
    """The session that is forgotten."""
    shared: int
    """The one that stays."""
    forgotten: Patterns
    kept: Patterns


def command(*arguments: str | int | Path, data: Path | None = None) -> str:
    words = [str(one) for one in arguments] + (["--data-dir", str(data)] if data is not None else [])
    done = subprocess.run(
        triptych(*words), env=clean_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def searched(running: Triptych) -> Sequence[Path]:
    """All that Triptych keeps besides the logs, which docs/privacy.md speaks of."""
    root = running.data.root
    assert running.data.postgres.is_dir()
    skipped = {running.data.logs, running.data.samples, running.data.models}
    return [path for path in root.iterdir() if path.is_dir() and path not in skipped]


def is_file(path: str) -> bool:
    return Path(path).is_file()


def floats(content: bytes) -> NDArray[np.float32]:
    """What `vector_send` gives: the dimension and an unused number, then numbers in network order."""
    return np.frombuffer(content[4:], ">f4").astype(np.float32)


def halves(content: bytes) -> NDArray[np.float16]:
    """Likewise of `halfvec_send`."""
    return np.frombuffer(content[4:], ">f2").astype(np.float16)


async def vectors_of_faces(database: asyncpg.Connection, condition: str, subject: int) -> list[bytes]:
    rows = await database.fetch(
        f"""SELECT vector_send(f.embedding) AS vector FROM faces f JOIN face_places p ON p.face_id = f.id
            WHERE {condition}""",  # noqa: S608 - constants of this file
        subject,
    )
    assert rows
    return [part_of_vector(floats(row["vector"])) for row in rows]


async def vectors_of_photo(database: asyncpg.Connection, asset_id: int) -> tuple[list[bytes], list[bytes]]:
    """Of its embedding, and of the one that is searched."""
    rows = await database.fetch("SELECT vector_send(embedding) AS vector FROM embeddings WHERE asset_id = $1", asset_id)
    number = await database.fetchval("SELECT table_number FROM search_spaces")
    half = await database.fetchval(
        f"SELECT halfvec_send(vector) FROM search.search_vectors_{number} WHERE asset_id = $1",  # noqa: S608 - a number
        asset_id,
    )
    return [part_of_vector(floats(row["vector"])) for row in rows], [part_of_half_vector(halves(half))]


async def train(client: Client, directory: Path) -> int:
    session_id = await client.begin(directory, shard_photos=8)
    async for watch in client.watch(session_id, deadline_seconds=TRAIN_SECONDS):
        last = watch.last
    assert last["overallStatus"] == "completed", last
    return session_id


async def until_searchable(database: asyncpg.Connection) -> None:
    async def holds() -> bool:
        return bool(
            await database.fetchval("""
                SELECT NOT EXISTS (SELECT 1 FROM search_queue)
                    AND EXISTS (SELECT 1 FROM search_spaces WHERE table_number IS NOT NULL)""")
        )

    await eventually(holds, "all photos are in the table that is searched")


async def write_all_to_disk(running: Triptych) -> None:
    """Have PostgreSQL write its tables: in its log alone, a row may lie across two pages."""
    postgres = await EmbeddedPostgres.install(running.data, print)
    owner = await asyncpg.connect(postgres.url)
    try:
        await owner.execute("CHECKPOINT")
    finally:
        await owner.close()


async def prepare(running: Triptych, client: Client, shared: Path, own: Path) -> Before:
    shared_id, own_id = await train(client, shared), await train(client, own)
    await client.change(f"/training/sessions/{own_id}", {"name": SESSION_NAME})
    persons = await client.get_all("/faces/persons", session_id=shared_id)
    person, other = (one["id"] for one in persons[:2])
    await client.change(f"/faces/persons/{person}", {"name": NAME})
    await client.change(f"/faces/persons/{other}", {"name": KEPT_NAME})
    faces = await client.get_all(f"/faces/persons/{person}/faces")
    crop = await client.get_picture(f"/faces/{faces[0]['id']}/crop")
    # One without the two persons, so that each is counted for itself.
    theirs = {
        face["assetId"] for one in (person, other) for face in await client.get_all(f"/faces/persons/{one}/faces")
    }
    jobs = await client.get_all(f"/training/sessions/{shared_id}/jobs")
    photo = next(job for job in jobs if job["assetId"] not in theirs)
    thumbnail = await client.get_picture(f"/images/{photo['assetId']}/thumbnail?size=320")
    database = await running.connect_database()
    try:
        await until_searchable(database)
        embedding, half = await vectors_of_photo(database, photo["assetId"])
        own_photo = (await client.get_all(f"/training/sessions/{own_id}/jobs"))[0]["assetId"]
        own_embedding, own_half = await vectors_of_photo(database, own_photo)
        # As every installation has them sooner or later.
        await database.execute("ANALYZE")
        kept_photo = next(iter(theirs))
        kept_embedding, kept_half = await vectors_of_photo(database, kept_photo)
        forgotten = {
            "the person's faces": await vectors_of_faces(database, "p.person_id = $1", person),
            "the person's name": [NAME.encode(), NAME.casefold().encode()],
            "the person's picture": [crop[200:260]],
            "the photo's embedding": embedding,
            "the photo's vector that is searched": half,
            "the photo's path": [photo["imagePath"].encode()],
            "the photo's picture": [thumbnail[200:260]],
            "the session's name": [SESSION_NAME.encode()],
            "the session's directory": [bytes(own)],
            "the session's embeddings": own_embedding,
            "the session's vectors that are searched": own_half,
            "the session's progress": [f"progress.v1.{own_id}.".encode()],
        }
        kept = {
            "another person's faces": await vectors_of_faces(database, "p.person_id = $1", other),
            "another person's name": [KEPT_NAME.encode()],
            "another photo's embedding": kept_embedding,
            "another photo's vector that is searched": kept_half,
        }
    finally:
        await database.close()
    return Before(
        person=person,
        other=other,
        photo=photo["assetId"],
        photo_path=photo["imagePath"],
        own=own_id,
        shared=shared_id,
        forgotten=forgotten,
        kept=kept,
    )


async def check_that_it_works(client: Client, before: Before, shared: Path) -> None:
    persons = {one["id"]: one["name"] for one in await client.get_all("/faces/persons")}
    assert before.person not in persons
    assert persons[before.other] == KEPT_NAME
    left = (await client.get_all(f"/faces/persons/{before.other}/faces"))[0]["assetId"]
    found = (await client.post("/search", json={"assetId": left, "limit": 5})).json()
    alike = {item["asset"]["id"] for item in found["items"]}
    assert alike
    assert before.photo not in alike
    snapshot = await client.get(f"/training/sessions/{before.shared}/progress-unified")
    assert snapshot["overallProgress"]["percentage"] == 100
    again = await train(client, shared)
    restarted = await client.post(f"/training/sessions/{again}/restart-faces")
    assert restarted.is_success, restarted.text
    async for watch in client.watch(again, deadline_seconds=TRAIN_SECONDS):
        last: dict[str, Any] = watch.last
    assert last["overallStatus"] == "completed"
    named = {one["name"] for one in await client.get_all("/faces/persons")}
    assert KEPT_NAME in named
    assert NAME not in named


@pytest.mark.timeout(900)
async def test_nothing_that_was_forgotten_is_on_disk_and_everything_else_works() -> None:
    with working_directory() as directory:
        media = directory / "media"
        shared, own = media / "family", media / "only-here"
        command("samples", shared, "--count", PHOTOS)
        command("samples", own, "--count", 4, "--seed", 77)
        with triptych_up(directory, media_roots=[media], settings={}) as running:
            places = searched(running)
            async with contextlib.aclosing(Client(running.url)) as client:
                before = await prepare(running, client, shared, own)
                await write_all_to_disk(running)
                assert files_with(before.forgotten, places).keys() == before.forgotten.keys()

                for kind, subject in (("person", before.person), ("photo", before.photo), ("session", before.own)):
                    said = command("forget", kind, subject, "--yes", "--url", running.url)
                    assert said.startswith("Forgotten: ")
                    assert said != "Forgotten: nothing was left.\n"
                assert command("scrub", data=running.data.root).startswith("Scrubbed: ")

                assert files_with(before.forgotten, places) == {}
                assert files_with(before.kept, places).keys() == before.kept.keys()
                assert is_file(before.photo_path), "files of photos are never touched"
                await check_that_it_works(client, before, shared)
                vectors = {"the person's faces": before.forgotten["the person's faces"]}
                assert files_with(vectors, places) == {}, "no later search stores a face where it is kept out"
