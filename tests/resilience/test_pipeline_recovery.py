"""Any process may be killed while a session runs: the session ends by itself, with nothing lost or done twice."""

import asyncio
import contextlib
import logging
import math
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support.file_opens import FileOpens
from tests.support.object_storage import KEY_ID, SECRET, Bucket, Storage, running_storage
from tests.support.running_triptych import (
    Client,
    Triptych,
    Watch,
    clean_environment,
    still_alive,
    triptych,
    triptych_up,
    wait_until,
    working_directory,
)
from tests.support.stored_results import Found, found_of, settled_photos, until_aggregated

log = logging.getLogger(__name__)

PHOTOS = 24
SHARD_PHOTOS = 6
MICRO_BATCH = 2
ONE_MORE_PHOTOS = MICRO_BATCH * math.ceil(PHOTOS / SHARD_PHOTOS)
"""A worker learns between micro-batches that its caller is gone: by then each call may have begun one more."""
DEADLINE_SECONDS = 90
SETTINGS = {
    # Small steps, so that there is a moment to hit; and small pictures to search, so that the file does not take long.
    "TRIPTYCH_MICRO_BATCH": str(MICRO_BATCH),
    "TRIPTYCH_INFERENCE_THREADS": "1",
    "TRIPTYCH_DETECTION_LONG_SIDE_PIXELS": "240",
}
PHASES = {"training": "training", "face_detection": "faceDetection", "clustering": "clustering"}
CARRY_PROGRESS = ("nats", "progress")
"""Their loss is none of the work's business."""
UNDER_WAY = ("running", "processing")


@dataclass(frozen=True, kw_only=True)
class Kill:
    """Who is killed, and in which phase."""

    victim: str
    phase: str

    def __str__(self) -> str:
        return f"{self.victim} in {self.phase}"


KILLS = (
    Kill(victim="embedder", phase="training"),
    Kill(victim="gateway", phase="training"),
    Kill(victim="facedetect", phase="face_detection"),
    Kill(victim="gateway", phase="face_detection"),
    Kill(victim="nats", phase="face_detection"),
    Kill(victim="progress", phase="face_detection"),
    Kill(victim="postgres", phase="face_detection"),
    Kill(victim="cluster", phase="clustering"),
    Kill(victim="gateway", phase="clustering"),
)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What all cases share: one stack, and what an undisturbed session found."""

    triptych: Triptych
    library: Path
    undisturbed: Found
    storage: Storage
    """A store of objects, whose bucket ``library`` is a media root too."""

    def copy(self, name: str) -> Path:
        """The same photos under paths that nothing is known about."""
        return Path(shutil.copytree(self.library, self.library.parent / name))


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with working_directory() as directory:
        library = directory / "photos" / "original"
        library.parent.mkdir()
        _make_samples(library)
        with (
            running_storage() as storage,
            triptych_up(
                directory,
                media_roots=[library.parent, "s3://library/photos"],
                settings=SETTINGS | storage.environment,
            ) as running,
        ):
            undisturbed = asyncio.run(_undisturbed(running, library))
            yield Stage(triptych=running, library=library, undisturbed=undisturbed, storage=storage)


def _make_samples(library: Path) -> None:
    subprocess.run(
        triptych("samples", library, "--count", str(PHOTOS)),
        env=clean_environment(),
        check=True,
        capture_output=True,
        timeout=60,
    )


async def _undisturbed(running: Triptych, directory: Path) -> Found:
    async with contextlib.aclosing(Client(running.url)) as client:
        session_id = await client.begin(directory, shard_photos=SHARD_PHOTOS)
        async for watch in client.watch(session_id, deadline_seconds=DEADLINE_SECONDS):
            assert watch.last["overallStatus"] in ("running", "completed")
    return await found_of(running, session_id, directory)


@pytest.mark.parametrize("kill", KILLS, ids=str)
async def test_session_survives(kill: Kill, stage: Stage) -> None:
    directory = stage.copy(str(kill).replace(" ", "-"))
    with FileOpens(directory) as opens:
        async with contextlib.aclosing(Client(stage.triptych.url)) as client:
            session_id = await client.begin(directory, shard_photos=SHARD_PHOTOS)
            watch, before = await _kill_on_the_way(kill, stage.triptych, client, session_id, opens)
        read = _photos(opens)
    await until_aggregated(stage.triptych, session_id, photos=PHOTOS)

    assert watch.last["overallStatus"] == "completed"
    assert set(watch.statuses()) == {"running", "completed"}
    percentages = watch.percentages()
    assert percentages == sorted(percentages), "the bar moved back"
    assert [p == 100 for p in percentages] == [status == "completed" for status in watch.statuses()]

    found = await found_of(stage.triptych, session_id, directory)
    assert found.unsettled == 0
    assert found.embedded == stage.undisturbed.embedded
    assert found.scanned == stage.undisturbed.scanned
    assert found.faces == stage.undisturbed.faces
    assert found.groups == stage.undisturbed.groups

    # Each photo is read once in training and once in face detection; whatever was read besides was computed again.
    again = _read_again(read)
    log.info("%s: %d photos in flight, %d computed again", kill, len(before.in_flight), len(again))
    assert all(read[photo] >= 2 for photo in stage.undisturbed.embedded)
    assert max(read.values()) <= 3
    assert again.isdisjoint(before.settled), "a photo with a stored result was computed again"
    assert len(again) <= (0 if kill.victim in CARRY_PROGRESS else len(before.in_flight) + ONE_MORE_PHOTOS)


async def test_session_survives_the_end_of_everything_at_once(stage: Stage) -> None:
    """`triptych up` itself is killed: nothing outlives it, and the next one goes on without being told."""
    with working_directory() as directory:
        library = Path(shutil.copytree(stage.library, directory / "photos"))
        with (
            triptych_up(directory, media_roots=[library], settings=SETTINGS, exit_status=-signal.SIGKILL) as running,
            FileOpens(library) as opens,
        ):
            children = psutil.Process(running.process.pid).children(recursive=True)
            async with contextlib.aclosing(Client(running.url)) as client:
                session_id = await client.begin(library, shard_photos=SHARD_PHOTOS)
                async for watch in client.watch(session_id, deadline_seconds=DEADLINE_SECONDS):
                    opens.counts()
                    if watch.last["phases"]["faceDetection"]["progress"]["current"] > 0:
                        break
            settled = await settled_photos(running, session_id, "face_detection")
            running.process.kill()
            await asyncio.to_thread(
                wait_until, lambda: not still_alive(children), seconds=30, what=lambda: str(still_alive(children))
            )
            with triptych_up(directory, media_roots=[library], settings=SETTINGS) as again:
                async with contextlib.aclosing(Client(again.url)) as client:
                    async for later in client.watch(session_id, deadline_seconds=DEADLINE_SECONDS):
                        assert later.last["overallStatus"] in ("running", "completed")
                        opens.counts()
                found = await found_of(again, session_id, library)
                read = _photos(opens)
    percentages = watch.percentages() + later.percentages()
    assert later.last["overallStatus"] == "completed"
    assert percentages == sorted(percentages), "the bar moved back"
    assert found == stage.undisturbed
    assert _read_again(read).isdisjoint(settled), "a photo with a stored result was computed again"


async def test_session_survives_the_absence_of_the_store_that_holds_its_photos(stage: Stage) -> None:
    """The same photos in a bucket: the session waits while the store is away, and finds what it found elsewhere."""
    files = [path for path in stage.library.rglob("*") if path.is_file() and path.suffix != ".json"]
    photos = {str(path.relative_to(stage.library)): path.read_bytes() for path in files}
    bucket = stage.storage.make_bucket("library", {f"photos/original/{name}": photos[name] for name in photos})
    async with contextlib.aclosing(Client(stage.triptych.url)) as client:
        session_id = await client.begin("s3://library/photos/original", shard_photos=SHARD_PHOTOS)
        met: set[str] = set()
        async for watch in client.watch(session_id, deadline_seconds=DEADLINE_SECONDS):
            for name in ("training", "faceDetection"):
                phase = watch.last["phases"][name]
                if phase["status"] in UNDER_WAY and phase["progress"]["current"] > 0 and name not in met:
                    met.add(name)
                    await asyncio.to_thread(_away_until_missed, stage)
        found = await found_of(stage.triptych, session_id, "s3://library/photos/original")
        assert watch.last["overallStatus"] == "completed"
        assert met == {"training", "faceDetection"}
        assert watch.percentages() == sorted(watch.percentages()), "the bar moved back"
        assert found == stage.undisturbed
        await _look_at_pictures(client, session_id, bucket, photos)
    written = stage.triptych.log.read_text()
    assert SECRET not in written and KEY_ID not in written


def _away_until_missed(stage: Stage) -> None:
    """Stop the store until a worker has missed it, and start it again."""
    missed = "The object store of s3://library is away"

    def times() -> int:
        return stage.triptych.log.read_text().count(missed)

    before = times()
    stage.storage.stop()
    try:
        wait_until(lambda: times() > before, seconds=DEADLINE_SECONDS, what=stage.triptych.log.read_text)
    finally:
        stage.storage.start()


async def _look_at_pictures(client: Client, session_id: int, bucket: Bucket, photos: dict[str, bytes]) -> None:
    """A photo of a bucket is shown as any other, as long as its store answers."""
    jobs = {job["imagePath"]: job["assetId"] for job in await client.get_all(f"/training/sessions/{session_id}/jobs")}
    assert set(jobs) == {f"s3://library/photos/original/{name}" for name in photos}
    name, content = next((name, content) for name, content in photos.items() if content.startswith(b"\xff\xd8\xff"))
    asset_id = jobs[f"s3://library/photos/original/{name}"]
    assert await client.get_picture(f"/images/{asset_id}/full") == content
    assert len(await client.get_picture(f"/images/{asset_id}/thumbnail?size=64")) > 0

    listed = await client.get("/training/directories", path="s3://library/photos")
    assert [(one["path"], one["imageCount"], one["trainedCount"]) for one in listed] == [
        ("s3://library/photos/original", PHOTOS, PHOTOS)
    ]
    folder = f"s3://library/photos/original/{name}".rpartition("/")[0]
    preview = await client.get("/training/directories/preview", path=folder)
    assert {image["fullPath"] for image in preview["images"]} == {one for one in jobs if one.startswith(f"{folder}/")}
    bucket.storage.stop()
    try:
        for question, query in (
            (f"/images/{asset_id}/thumbnail", {"size": 63}),
            ("/training/directories", {"path": "s3://library/photos"}),
        ):
            with pytest.raises(httpx.HTTPStatusError) as refused:
                await client.get(question, **query)
            assert refused.value.response.status_code == httpx.codes.SERVICE_UNAVAILABLE
            assert refused.value.response.json()["error"]["code"] == "service_away"
        roots = {one["path"]: one["imageCountIsComplete"] for one in await client.get("/training/directories")}
        assert roots.pop("s3://library/photos") is False
        assert all(roots.values()), "one store's absence is nothing to the others"
    finally:
        bucket.storage.start()


@dataclass(frozen=True, kw_only=True)
class Before:
    """How the phase stood at the kill."""

    settled: frozenset[str]
    """Photos with a stored result."""
    in_flight: frozenset[str]
    """Photos that had been read without having one yet."""


async def _kill_on_the_way(
    kill: Kill, running: Triptych, client: Client, session_id: int, opens: FileOpens
) -> tuple[Watch, Before]:
    """Follow a session to its end, and kill the process once the phase is under way."""
    before: Before | None = None
    with contextlib.ExitStack() as stack:
        if kill.phase == "clustering":
            # Too short to be hit by chance: the clusterer is stopped in its tracks, and stays so until the kill.
            stack.enter_context(running.held("cluster"))
        async for watch in client.watch(session_id, deadline_seconds=DEADLINE_SECONDS):
            opens.counts()
            if before is None and _is_moment(watch.last["phases"][PHASES[kill.phase]], kill):
                before = await _kill(kill, running, session_id, opens)
                stack.close()
    assert before is not None, f"{kill.phase} was over before it could be hit"
    return watch, before


def _is_moment(phase: dict[str, Any], kill: Kill) -> bool:
    begun = kill.phase == "clustering" or phase["progress"]["current"] > 0
    return phase["status"] in UNDER_WAY and begun


async def _kill(kill: Kill, running: Triptych, session_id: int, opens: FileOpens) -> Before:
    victim = running.child(kill.victim)
    settled = await settled_photos(running, session_id, kill.phase)
    earlier_phases = list(PHASES).index(kill.phase)
    victim.kill()
    if kill.phase == "clustering":
        return Before(settled=frozenset(_photos(opens)), in_flight=frozenset())
    begun = {photo for photo, times in _photos(opens).items() if times > earlier_phases}
    return Before(settled=frozenset(settled), in_flight=frozenset(begun - settled))


def _photos(opens: FileOpens) -> Counter[str]:
    return Counter({path.name: times for path, times in opens.counts().items() if path.suffix != ".json"})


def _read_again(read: Counter[str]) -> set[str]:
    return {photo for photo, times in read.items() if times > 2}
