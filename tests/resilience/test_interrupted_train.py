"""`triptych train` is interrupted, a stack goes on with it, and a backup brings all of it back into another one."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.ports import free_port
from tests.support.running_triptych import (
    Client,
    Triptych,
    Watch,
    end,
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

PHOTOS = 20


@dataclass(frozen=True, kw_only=True)
class Interrupted:
    """A training that was interrupted, and the stack that has gone on with it to the end."""

    photos: Path
    stopped: Finished
    left_behind: list[psutil.Process]
    written_by_postgres: str
    """Its log until then."""
    watch: Watch
    triptych: Triptych


async def interrupt(photos: Path, data: Path) -> tuple[Finished, list[psutil.Process]]:
    """Train until faces are searched for, and press Ctrl-C; how it ended, and what outlived it."""
    port = free_port()
    with training(photos, data=data, port=port) as process:
        watching = follow_first_session(f"http://127.0.0.1:{port}", process)
        async with contextlib.aclosing(watching):
            async for watch in watching:
                if watch.last["phases"]["faceDetection"]["status"] == "processing":
                    break
        children = psutil.Process(process.pid).children(recursive=True)
        status = await asyncio.to_thread(end, process, signal.SIGINT)
    return finished(status, data), still_alive(children)


async def go_on(running: Triptych) -> Watch:
    """Watch the interrupted session to its end."""
    async with contextlib.aclosing(Client(running.url)) as client:
        async for watch in client.watch(1, deadline_seconds=TRAIN_SECONDS):
            seen = watch
    return seen


@pytest.fixture(scope="module")
def interrupted() -> Iterator[Interrupted]:
    with working_directory() as directory:
        photos, data = directory / "photos" / "library", directory / "data"
        photos.parent.mkdir()
        made = run_to_end("samples", photos, "--count", str(PHOTOS))
        assert made.status == 0, made.errors
        stopped, left_behind = asyncio.run(interrupt(photos, data))
        written = _log(data, "postgres")
        with triptych_up(directory, media_roots=[photos.parent], settings={}) as running:
            yield Interrupted(
                photos=photos,
                stopped=stopped,
                left_behind=left_behind,
                written_by_postgres=written,
                watch=asyncio.run(go_on(running)),
                triptych=running,
            )


def test_interrupted_train_stops_in_order_and_the_next_stack_goes_on(interrupted: Interrupted) -> None:
    stopped, last = interrupted.stopped, interrupted.watch.last
    assert stopped.status == 130, stopped.errors
    assert interrupted.left_behind == []
    assert "the next `triptych up` goes on with what is left" in stopped.errors
    assert "database system is shut down" in interrupted.written_by_postgres
    assert last["overallStatus"] == "completed"
    assert last["phases"]["faceDetection"]["progress"]["current"] == PHOTOS


# A second whole stack beside the first, and a command for each step, on a machine that may have much else to do.
@pytest.mark.timeout(600)
async def test_a_backup_brings_everything_back_in_another_data_directory(interrupted: Interrupted) -> None:
    """The data directory is lost: what was made of the photos, and who is on them, is not."""
    async with contextlib.aclosing(Client(interrupted.triptych.url)) as client:
        person = (await client.get_all("/faces/persons"))[0]
        await client.change(f"/faces/persons/{person['id']}", {"name": "Ada"})
        before = await everything(client)
    made = run_to_end(
        "backup", "create", interrupted.photos.with_name("backups"), "--data-dir", interrupted.triptych.data.root
    )
    assert made.status == 0, made.errors
    backup = made.output.strip()

    with working_directory() as directory:
        data = DataDirectory(root=directory / "data")
        back = run_to_end("backup", "restore", backup, "--data-dir", data.root)
        assert back.status == 0, back.errors
        assert "It was made with TRIPTYCH_MEDIA_ROOTS=" in back.output
        with triptych_up(directory, media_roots=[interrupted.photos.parent], settings={}) as running:
            async with contextlib.aclosing(Client(running.url)) as client:
                assert await everything(client) == before
            again = run_to_end("train", interrupted.photos, "--json", "--port", running.url.rpartition(":")[2])
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


def _log(data: Path, name: str) -> str:
    return "".join(path.read_text() for path in sorted(DataDirectory(root=data).logs.glob(f"{name}*")))
