"""Bad photos and unreadable folders are named and passed, everything else is trained on, and the session completes."""

import asyncio
import contextlib
import io
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.support.hostile_photos import (
    BLUE,
    EMPTY_FILE,
    GREEN,
    RED,
    UNSUPPORTED_FORMAT,
    WHITE,
    HostilePhotos,
    corner_colours,
    make_hostile_photos,
    make_removable,
)
from tests.support.running_triptych import (
    Client,
    Triptych,
    clean_environment,
    last_object,
    triptych,
    triptych_up,
    working_directory,
)
from tests.support.unprivileged import unprivileged
from triptych_common.media.locations import display_path

SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The hostile photos after `triptych train`, and the services that it was trained by."""

    photos: HostilePhotos
    status: int
    report: dict[str, Any]
    triptych: Triptych


def train(directory: Path, running: Triptych) -> tuple[int, dict[str, Any], str]:
    """`triptych train --json` with the gateway that runs: exit status, report, and what it told a person."""
    done = subprocess.run(
        triptych("train", directory, "--json", "--port", running.url.rpartition(":")[2]),
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, last_object(done.stdout), done.stderr


@pytest.fixture(scope="module")
def trained() -> Iterator[Trained]:
    """All services run as a user who may be refused a file, whoever runs the tests."""
    with working_directory() as directory:
        photos = make_hostile_photos(directory / "photos" / "hostile")
        owned = directory / "owned"
        owned.mkdir()
        try:
            with (
                unprivileged(owned) as prefix,
                triptych_up(owned, media_roots=[directory / "photos"], settings={}, prefix=prefix) as running,
            ):
                status, report, _ = train(directory / "photos" / "hostile", running)
                yield Trained(photos=photos, status=status, report=report, triptych=running)
        finally:
            make_removable(photos)


def _within(trained: Trained, path: str) -> str:
    """A reported path, relative to the directory of photos."""
    return os.path.relpath(path, os.fsdecode(trained.photos.directory))


def _shown(paths: Mapping[bytes, str]) -> dict[str, str]:
    """Paths as they are reported, with their codes."""
    return {display_path(path): code for path, code in paths.items()}


def test_services_are_not_root(trained: Trained) -> None:
    users = {trained.triptych.child(name).uids().effective for name in ("gateway", "embedder", "facedetect")}
    assert 0 not in users


def test_session_completes(trained: Trained) -> None:
    assert trained.status == 0
    assert trained.report["status"] == "completed"
    assert trained.report["error"] is None
    assert trained.report["photos"] == len(trained.photos.readable) + len(trained.photos.bad)
    answer = httpx.get(
        f"{trained.triptych.url}/api/v1/training/sessions/{trained.report['session_id']}/progress-unified",
        trust_env=False,
    ).json()
    assert answer["overallProgress"]["percentage"] == 100
    training = answer["phases"]["training"]
    assert training["failed"] == len(trained.photos.bad)
    assert training["progress"]["current"] == training["progress"]["total"] == trained.report["photos"]


def test_every_bad_file_is_named_with_its_reason(trained: Trained) -> None:
    failed = {_within(trained, one["path"]): one["code"] for one in trained.report["failed"]}
    assert failed == _shown(trained.photos.bad)
    assert {one["phase"] for one in trained.report["failed"]} == {"training"}
    assert all(one["reason"] for one in trained.report["failed"])


def test_folders_that_cannot_be_entered_are_problems(trained: Trained) -> None:
    problems = {_within(trained, one["path"]): one["code"] for one in trained.report["problems"]}
    assert problems == _shown(trained.photos.folders)


async def test_every_readable_photo_is_embedded_once(trained: Trained) -> None:
    assert trained.report["embedded"] == len(trained.photos.readable)
    async with contextlib.aclosing(Client(trained.triptych.url)) as client:
        jobs = await client.get_all(f"/training/sessions/{trained.report['session_id']}/jobs", status="completed")
    assert sorted(_within(trained, job["imagePath"]) for job in jobs) == sorted(
        map(display_path, trained.photos.readable)
    )


async def test_pictures_are_upright(trained: Trained) -> None:
    async with contextlib.aclosing(Client(trained.triptych.url)) as client:
        jobs = await client.get_all(f"/training/sessions/{trained.report['session_id']}/jobs", status="completed")
        asset_ids = {_within(trained, job["imagePath"]): job["assetId"] for job in jobs}
        pictures = await asyncio.gather(
            *(
                client.get_picture(f"/images/{asset_ids[display_path(path)]}/thumbnail")
                for path in trained.photos.upright
            )
        )
    for path, picture in zip(trained.photos.upright, pictures, strict=True):
        with Image.open(io.BytesIO(picture)) as image:
            assert corner_colours(image) == (RED, GREEN, BLUE, WHITE), path


async def test_session_of_nothing_but_bad_files_fails_and_names_each(trained: Trained) -> None:
    directory = Path(os.fsdecode(trained.photos.directory)).with_name("only-bad")
    directory.mkdir()
    (directory / "empty.jpg").touch()
    (directory / "text.jpg").write_text("This is no photo.\n" * 40, encoding="utf-8")
    status, report, told = await asyncio.to_thread(train, directory, trained.triptych)
    assert status == 1
    assert report["status"] == "failed"
    assert report["error"]["phase"] == "training"
    assert report["error"]["code"] == "every_photo_failed"
    assert {Path(one["path"]).name: one["code"] for one in report["failed"]} == {
        "empty.jpg": EMPTY_FILE,
        "text.jpg": UNSUPPORTED_FORMAT,
    }
    assert "empty.jpg" in told
    assert "text.jpg" in told
    async with contextlib.aclosing(Client(trained.triptych.url)) as client:
        answer = await client.get(f"/training/sessions/{report['session_id']}/progress-unified")
    assert answer["overallStatus"] == answer["phases"]["training"]["status"] == "failed"
    assert answer["phases"]["training"]["error"]["code"] == "every_photo_failed"
    assert answer["phases"]["faceDetection"]["status"] == "pending"
    assert answer["overallProgress"]["percentage"] < 100
