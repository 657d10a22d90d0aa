"""The main job as a user does it: `triptych train DIRECTORY` in an empty data directory, and what comes after."""

import asyncio
import contextlib
import io
import itertools
import json
import signal
import subprocess
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image

from tests.support.ports import free_port
from tests.support.running_triptych import (
    POLL_SECONDS,
    Client,
    Triptych,
    Watch,
    clean_environment,
    end,
    last_object,
    still_alive,
    triptych,
    triptych_up,
    working_directory,
)
from triptych_gateway.cli.stack.data_directory import DataDirectory
from triptych_gateway.cli.stack.record import running_stack

PHOTOS = 30
TRAIN_SECONDS = 150
WEIGHTS = {"training": 0.30, "faceDetection": 0.65, "clustering": 0.05}
SAME_FACE_OVERLAP = 0.2
"""Intersection over union from which a found box and a box of the manifest are one face: no two people come near it."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A command that has ended."""

    status: int
    output: str
    errors: str

    def report(self) -> dict[str, Any]:
        """The JSON object on the last line of its output."""
        return last_object(self.output)


@dataclass(frozen=True, kw_only=True)
class FirstRun:
    """`triptych train` with services of its own, and what its gateway said meanwhile."""

    command: Finished
    watch: Watch
    left_behind: list[psutil.Process]


@dataclass(frozen=True, kw_only=True)
class MainJob:
    """A sample library that was trained on once, and a `triptych up` on the same data since."""

    photos: Path
    manifest: dict[str, Any]
    first: FirstRun
    triptych: Triptych


def run_to_end(*arguments: str | Path, seconds: float = TRAIN_SECONDS) -> Finished:
    done = subprocess.run(
        triptych(*arguments), env=clean_environment(), capture_output=True, text=True, timeout=seconds, check=False
    )
    return Finished(status=done.returncode, output=done.stdout, errors=done.stderr)


@contextlib.contextmanager
def training(directory: Path, *, data: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`triptych train --json` under way; its output goes to files beside the data."""
    with data.with_suffix(".out").open("wb") as output, data.with_suffix(".err").open("wb") as errors:
        process = subprocess.Popen(
            triptych("train", directory, "--json", "--data-dir", data, "--port", str(port)),
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
    try:
        yield process
    finally:
        end(process, signal.SIGTERM)


def finished(status: int, data: Path) -> Finished:
    return Finished(
        status=status, output=data.with_suffix(".out").read_text(), errors=data.with_suffix(".err").read_text()
    )


async def follow_first_session(url: str, process: subprocess.Popen[bytes]) -> AsyncGenerator[Watch, None]:
    """Poll the progress of the first session from the moment it is there until it ends or the command does."""
    async with contextlib.aclosing(Client(url)) as client:
        while not (sessions := await _sessions(client)):
            assert process.poll() is None, "the command ended before it had made a session"
            await asyncio.sleep(POLL_SECONDS)
        async for watch in client.watch(
            sessions[0]["id"], deadline_seconds=TRAIN_SECONDS, is_over=lambda: process.poll() is not None
        ):
            yield watch


async def _sessions(client: Client) -> list[dict[str, Any]]:
    try:
        return await client.get_all("/training/sessions")
    except httpx.TransportError:
        return []


async def first_run(photos: Path, data: Path) -> FirstRun:
    port = free_port()
    with training(photos, data=data, port=port) as process:
        clusterer: psutil.Process | None = None
        watch = Watch()
        started: list[psutil.Process] = []
        try:
            async for watch in follow_first_session(f"http://127.0.0.1:{port}", process):
                phases = watch.last["phases"]
                if clusterer is None and phases["faceDetection"]["status"] == "processing":
                    started = psutil.Process(process.pid).children(recursive=True)
                    record = running_stack(DataDirectory(root=data))
                    assert record is not None
                    # Grouping so few faces takes no time: it is held back until it has been seen under way.
                    clusterer = psutil.Process(record.processes["cluster"].process_id)
                    clusterer.suspend()
                elif clusterer is not None and phases["clustering"]["status"] == "running":
                    clusterer.resume()
        finally:
            if clusterer is not None and clusterer.is_running():
                clusterer.resume()
        status = await asyncio.to_thread(process.wait, TRAIN_SECONDS)
    assert len(started) >= 7, started
    return FirstRun(command=finished(status, data), watch=watch, left_behind=still_alive(started))


@pytest.fixture(scope="module")
def job() -> Iterator[MainJob]:
    with working_directory() as directory:
        photos = directory / "photos" / "library"
        photos.parent.mkdir()
        made = run_to_end("samples", photos, "--count", str(PHOTOS))
        assert made.status == 0, made.errors
        manifest = json.loads((photos / "samples.json").read_text())
        first = asyncio.run(first_run(photos, directory / "data"))
        with triptych_up(directory, media_roots=[photos.parent], settings={}) as running:
            yield MainJob(photos=photos, manifest=manifest, first=first, triptych=running)


def test_first_run_completes_and_reports(job: MainJob) -> None:
    command = job.first.command
    assert command.status == 0, command.errors
    report = command.report()
    assert report["status"] == "completed"
    assert report["photos"] == report["embedded"] == PHOTOS
    assert report["skipped"] == 0
    assert report["failed"] == []
    assert report["problems"] == []
    assert report["faces"] >= 20
    assert report["groups"] >= 3
    assert report["error"] is None
    assert set(report["seconds_per_phase"]) == {"training", "face_detection", "clustering"}
    assert all(seconds > 0 for seconds in report["seconds_per_phase"].values())
    assert {model["pack"] for model in report["models"].values()} == {"bundled"}


def test_first_run_leaves_no_process_behind(job: MainJob) -> None:
    assert job.first.left_behind == []


def test_progress_shows_each_phase_in_turn(job: MainJob) -> None:
    seen = [snapshot["overallProgress"]["currentPhase"] for snapshot in job.first.watch.snapshots]
    in_turn = list(dict.fromkeys(seen))
    assert in_turn[:3] == ["training", "face_detection", "clustering"]
    assert seen == sorted(seen, key=["training", "face_detection", "clustering", "completed"].index)
    under_way = {
        (phase, snapshot["phases"][phase]["status"]) for snapshot in job.first.watch.snapshots for phase in WEIGHTS
    }
    assert under_way >= {("training", "running"), ("faceDetection", "processing"), ("clustering", "running")}


def test_percentage_is_the_weighted_sum_at_every_poll_and_never_falls(job: MainJob) -> None:
    watch = job.first.watch
    assert len(watch.snapshots) > 20
    for snapshot in watch.snapshots:
        weighted = sum(
            weight * snapshot["phases"][phase]["progress"]["percentage"] for phase, weight in WEIGHTS.items()
        )
        assert snapshot["overallProgress"]["percentage"] == pytest.approx(weighted, abs=0.1 + 1e-9)
    assert watch.percentages() == sorted(watch.percentages())
    assert all((p == 100) == (s == "completed") for p, s in zip(watch.percentages(), watch.statuses(), strict=True))
    created_then_started = list(itertools.dropwhile(lambda status: status == "pending", watch.statuses()))
    assert set(created_then_started) == {"running", "completed"}


async def test_groups_are_people(job: MainJob) -> None:
    people = {photo["name"]: photo["people"] for photo in job.manifest["photos"]}
    async with contextlib.aclosing(Client(job.triptych.url)) as client:
        summaries = await client.get_all("/faces/clusters", session_id=1)
        groups = [await client.get(f"/faces/clusters/{one['id']}") for one in summaries]
    found: dict[str, list[int]] = defaultdict(list)
    for group in groups:
        assert len(group["faces"]) == group["faceCount"]
        names = {_person(face, people[str(Path(face["path"]).relative_to(job.photos))]) for face in group["faces"]}
        assert len(names) == 1, f"group {group['id']} mixes {names}"
        found[names.pop()].append(group["faceCount"])
    assert sum(group["faceCount"] >= 3 for group in groups) >= 3
    shown = Counter(person["person"] for photo in job.manifest["photos"] for person in photo["people"])
    assert set(found) >= {person for person, times in shown.items() if times >= 3}
    assert all(len(sizes) == 1 for sizes in found.values()), f"a person is in several groups: {dict(found)}"


def _person(face: dict[str, Any], people: list[dict[str, Any]]) -> str:
    box = face["box"]
    mine = (box["x"], box["y"], box["width"], box["height"])
    overlap, name = max((_overlap(mine, tuple(person["box"])), person["person"]) for person in people)
    assert overlap >= SAME_FACE_OVERLAP, f"{face['path']} shows nobody at {mine}"
    return str(name)


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union of two boxes (left, top, width, height), 0..1."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


async def test_pictures_are_jpegs(job: MainJob) -> None:
    async with contextlib.aclosing(Client(job.triptych.url)) as client:
        group = (await client.get_all("/faces/clusters", session_id=1))[0]
        face = group["sampleFaces"][0]
        crop = await client.get_picture(f"/faces/{face['id']}/crop")
        thumbnail = await client.get_picture(f"/images/{face['assetId']}/thumbnail?size=200")
    with Image.open(io.BytesIO(crop)) as picture:
        assert picture.format == "JPEG"
    with Image.open(io.BytesIO(thumbnail)) as picture:
        assert picture.format == "JPEG"
        assert max(picture.size) == 200


async def test_a_photo_is_shown_with_its_faces_and_at_full_size(job: MainJob) -> None:
    async with contextlib.aclosing(Client(job.triptych.url)) as client:
        group = (await client.get_all("/faces/clusters", session_id=1))[0]
        asset_id = group["sampleFaces"][0]["assetId"]
        asset = await client.get(f"/images/{asset_id}")
        full = await client.get_picture(f"/images/{asset_id}/full")
    with Image.open(asset["path"]) as original, Image.open(io.BytesIO(full)) as shown:
        assert (asset["width"], asset["height"]) == original.size == shown.size
    assert full == _content(asset["path"])
    assert asset["sizeBytes"] == len(full)
    assert group["sampleFaces"][0]["id"] in {face["id"] for face in asset["faces"]}


async def test_search_finds_a_photo_by_itself_and_by_those_like_it(job: MainJob) -> None:
    async with contextlib.aclosing(Client(job.triptych.url)) as client:
        asset_id = (await client.get_all("/training/sessions/1/jobs"))[0]["assetId"]
        picture = _content((await client.get(f"/images/{asset_id}"))["path"])
        uploaded = (await client.post("/search", files={"image": picture}, data={"limit": "5"})).json()
        known = (await client.post("/search", json={"assetId": asset_id, "limit": 5})).json()
        person = (await client.get_all("/faces/persons"))[0]["id"]
        of_person = (await client.post("/search", json={"assetId": asset_id, "personId": person})).json()
        text = await client.post("/search", json={"text": "a dog"})
        garbled = await client.post("/search", files={"image": b"no picture"})
        pictured = {face["assetId"] for face in await client.get_all(f"/faces/persons/{person}/faces")}

    assert uploaded["items"][0]["asset"]["id"] == asset_id
    assert uploaded["items"][0]["score"] == pytest.approx(1, abs=1e-3)
    assert uploaded["model"] == known["model"]
    assert [one["asset"]["id"] for one in known["items"][:4]] == [one["asset"]["id"] for one in uploaded["items"][1:]]
    scores = [one["score"] for one in known["items"]]
    assert scores == sorted(scores, reverse=True)
    assert {one["asset"]["id"] for one in of_person["items"]} == pictured - {asset_id}
    assert (text.status_code, text.json()["error"]["code"]) == (409, "no_text_tower")
    assert (garbled.status_code, garbled.json()["error"]["code"]) == (400, "picture_unreadable")


def _content(path: str) -> bytes:
    return Path(path).read_bytes()


def test_second_run_has_nothing_to_do_and_completes(job: MainJob) -> None:
    again = run_to_end("train", job.photos, "--json", "--port", job.triptych.url.rpartition(":")[2])
    assert again.status == 0, again.errors
    report = again.report()
    assert report["status"] == "completed"
    assert (report["photos"], report["skipped"], report["embedded"]) == (PHOTOS, PHOTOS, 0)
    assert report["failed"] == []
    first = job.first.command.report()
    assert (report["faces"], report["groups"]) == (first["faces"], first["groups"])


def test_people_and_status_tell_what_was_found(job: MainJob) -> None:
    report = job.first.command.report()
    people = run_to_end("people", "1", "--json", "--url", job.triptych.url)
    assert people.status == 0, people.errors
    groups = people.report()["groups"]
    assert len(groups) == report["groups"]
    assert [group["faces"] for group in groups] == sorted((group["faces"] for group in groups), reverse=True)
    assert all(Path(example["path"]).is_file() for group in groups for example in group["examples"])
    table = run_to_end("people", "1", "--url", job.triptych.url)
    assert table.status == 0, table.errors
    assert table.output.count("people/") >= len(groups)
    status = run_to_end("status", "1", "--url", job.triptych.url)
    assert status.status == 0, status.errors
    assert "100" in status.output


def test_empty_directory_completes(job: MainJob) -> None:
    empty = job.photos.with_name("empty")
    empty.mkdir()
    done = run_to_end("train", empty, "--json", "--port", job.triptych.url.rpartition(":")[2])
    assert done.status == 0, done.errors
    report = done.report()
    assert (report["status"], report["photos"], report["faces"], report["groups"]) == ("completed", 0, 0, 0)
    answer = httpx.get(
        f"{job.triptych.url}/api/v1/training/sessions/{report['session_id']}/progress-unified", trust_env=False
    ).json()
    assert answer["overallProgress"]["percentage"] == 100
    assert [answer["phases"][phase]["status"] for phase in WEIGHTS] == ["completed"] * 3


# A second whole stack beside the first, and a command for each step, on a machine that may have much else to do.
@pytest.mark.timeout(600)
async def test_a_backup_brings_everything_back_in_another_data_directory(job: MainJob) -> None:
    """The data directory is lost: what was made of the photos, and who is on them, is not."""
    async with contextlib.aclosing(Client(job.triptych.url)) as client:
        person = (await client.get_all("/faces/persons"))[0]
        await client.change(f"/faces/persons/{person['id']}", {"name": "Ada"})
        before = await everything(client)
    made = run_to_end("backup", "create", job.photos.with_name("backups"), "--data-dir", job.triptych.data.root)
    assert made.status == 0, made.errors
    backup = made.output.strip()

    with working_directory() as directory:
        data = DataDirectory(root=directory / "data")
        back = run_to_end("backup", "restore", backup, "--data-dir", data.root)
        assert back.status == 0, back.errors
        assert "It was made with TRIPTYCH_MEDIA_ROOTS=" in back.output
        with triptych_up(directory, media_roots=[job.photos.parent], settings={}) as running:
            async with contextlib.aclosing(Client(running.url)) as client:
                assert await everything(client) == before
            again = run_to_end("train", job.photos, "--json", "--port", running.url.rpartition(":")[2])
            assert again.report()["skipped"] == PHOTOS, again.errors
            async with contextlib.aclosing(Client(running.url)) as client:
                persons = await client.get_all("/faces/persons")
            assert {(one["name"], one["faceCount"]) for one in persons if one["name"]} == {("Ada", person["faceCount"])}
            refused = run_to_end("backup", "restore", backup, "--data-dir", data.root)
            assert (refused.status, refused.errors.count("\n")) == (1, 1)
            assert f"Triptych runs on {data.root} (process {running.process.pid}): stop it first." in refused.errors
        refused = run_to_end("backup", "restore", backup, "--data-dir", data.root)
        assert "restore with --replace to give it up" in refused.errors
        replaced = run_to_end("backup", "restore", backup, "--replace", "--data-dir", data.root)
        assert replaced.status == 0, replaced.errors


async def everything(client: Client) -> dict[str, Any]:
    """What a person sees of a library: sessions with their progress, people, and what a search finds."""
    sessions = await client.get_all("/training/sessions")
    jobs = await client.get_all(f"/training/sessions/{sessions[-1]['id']}/jobs")
    progress = [await client.get(f"/training/sessions/{one['id']}/progress-unified") for one in sessions]
    search = await client.post("/search", json={"assetId": jobs[0]["assetId"], "limit": 5})
    return {
        "sessions": [(one["id"], one["name"], one["status"]) for one in sessions],
        "progress": [(one["overallStatus"], one["overallProgress"]["percentage"]) for one in progress],
        "persons": await client.get_all("/faces/persons"),
        "search": [(one["asset"]["id"], round(one["score"], 3)) for one in search.json()["items"]],
    }


def test_missing_directory_is_refused_in_one_sentence(job: MainJob) -> None:
    missing = job.photos.with_name("missing")
    alone = run_to_end("train", missing, "--port", str(free_port()))
    assert alone.status == 2
    assert alone.errors.splitlines() == [f"{missing} is not a directory"]
    beside = run_to_end("train", missing, "--port", job.triptych.url.rpartition(":")[2])
    assert beside.status == 2
    assert str(missing) in beside.errors
    assert "Traceback" not in alone.errors + beside.errors


def test_second_stack_on_the_same_data_is_refused(job: MainJob) -> None:
    second = run_to_end("up", "--data-dir", job.triptych.data.root, "--port", str(free_port()))
    assert second.status == 1
    assert f"Another triptych (process {job.triptych.process.pid}) already uses the data directory" in second.errors
    assert "Traceback" not in second.errors
    assert httpx.get(f"{job.triptych.url}/health", trust_env=False).status_code == 200


async def test_interrupted_train_stops_in_order_and_the_next_stack_goes_on() -> None:
    with working_directory() as directory:
        photos, data, port = directory / "photos", directory / "data", free_port()
        made = run_to_end("samples", photos, "--count", "12")
        assert made.status == 0, made.errors
        with training(photos, data=data, port=port) as process:
            watching = follow_first_session(f"http://127.0.0.1:{port}", process)
            async with contextlib.aclosing(watching):
                async for watch in watching:
                    if watch.last["phases"]["faceDetection"]["status"] == "processing":
                        break
            children = psutil.Process(process.pid).children(recursive=True)
            status = await asyncio.to_thread(end, process, signal.SIGINT)
        stopped = finished(status, data)
        assert status == 130, stopped.errors
        assert still_alive(children) == []
        assert "the next `triptych up` goes on with what is left" in stopped.errors
        assert "database system is shut down" in _log(data, "postgres")
        with triptych_up(directory, media_roots=[photos], settings={}) as running:
            async with contextlib.aclosing(Client(running.url)) as client:
                async for again in client.watch(1, deadline_seconds=TRAIN_SECONDS):
                    watch = again
        assert watch.last["overallStatus"] == "completed"
        assert watch.last["phases"]["faceDetection"]["progress"]["current"] == 12


def _log(data: Path, name: str) -> str:
    return "".join(path.read_text() for path in sorted(DataDirectory(root=data).logs.glob(f"{name}*")))
