"""The main job as a user does it: `triptych train DIRECTORY` in an empty data directory, and what comes after."""

import asyncio
import contextlib
import io
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image

from tests.support.ports import free_port
from tests.support.running_triptych import (
    Client,
    Triptych,
    Watch,
    still_alive,
    triptych_up,
    working_directory,
)
from tests.support.training_command import (
    TRAIN_SECONDS,
    Finished,
    finished,
    follow_first_session,
    run_to_end,
    training,
)
from triptych_gateway.cli.stack.data_directory import DataDirectory
from triptych_gateway.cli.stack.record import running_stack

PHOTOS = 30
WEIGHTS = {"training": 0.30, "faceDetection": 0.65, "clustering": 0.05}
SAME_FACE_OVERLAP = 0.2
"""Intersection over union from which a found box and a box of the manifest are one face: no two people come near it."""


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
