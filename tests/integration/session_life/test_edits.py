"""What a person changes of sessions that have run: photos are tried again, deleted sessions leave what they found."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.real_servers import run_apart, wait_for
from tests.support.scripted_stack import HELD_AT, NEVER, PHOTOS, SESSIONS, Stack, Watch
from triptych_gateway.catalog.database import create_engine

BAD = b"0003.jpg"


def failed_jobs(stack: Stack, session_id: int) -> list[int]:
    page = stack.client.get(f"{SESSIONS}/{session_id}/jobs", params={"status": "failed"}).json()
    return [job["id"] for job in page["items"]]


def retry(stack: Stack, session_id: int) -> int:
    """Have the one photo that failed tried again; returns its job's id."""
    (job_id,) = failed_jobs(stack, session_id)
    answer = stack.client.post(f"{SESSIONS}/{session_id}/jobs/{job_id}/retry")
    assert answer.status_code == 202, answer.text
    return job_id


def status_of(stack: Stack, job_id: int) -> str:
    status: str = stack.client.get(f"/api/v1/training/jobs/{job_id}").json()["status"]
    return status


@pytest.mark.parametrize("phase", ["training", "face_detection"])
def test_a_photo_to_be_tried_again_is_in_the_restart_for_failed_ones(stack: Stack, tmp_path: Path, phase: str) -> None:
    stack.worker(phase).is_bad = lambda path: path.endswith(BAD)
    session_id = stack.create(tmp_path)
    stack.start(session_id)
    Watch(stack, session_id).until("completed")
    stack.worker(phase).is_bad = lambda _: False
    stack.worker(phase).worked = 0

    job_id = retry(stack, session_id)
    assert status_of(stack, job_id) == "pending"
    stack.press(session_id, "restart-training", failed_only=True).raise_for_status()
    last = Watch(stack, session_id).until("completed")

    assert stack.worker(phase).worked == 1
    assert status_of(stack, job_id) in ("completed", "skipped")
    assert [one["failed"] for one in last["phases"].values()] == [0] * 4
    assert failed_jobs(stack, session_id) == []


def test_a_photo_whose_faces_failed_is_done_once_they_are_found(stack: Stack, tmp_path: Path) -> None:
    stack.worker("face_detection").is_bad = lambda path: path.endswith(BAD)
    session_id = stack.create(tmp_path)
    stack.start(session_id)
    Watch(stack, session_id).until("completed")
    stack.worker("face_detection").is_bad = lambda _: False

    job_id = retry(stack, session_id)
    stack.press(session_id, "restart-faces").raise_for_status()
    Watch(stack, session_id).until("completed")

    assert status_of(stack, job_id) == "completed"


def test_a_cancelled_session_that_goes_on_tries_it_again(stack: Stack, tmp_path: Path) -> None:
    worker = stack.worker("training")
    looked_at: list[bytes] = []

    def is_first(path: bytes) -> bool:
        looked_at.append(path)
        return path == looked_at[0]

    worker.is_bad, worker.photos_of_work = is_first, HELD_AT
    session_id = stack.create(tmp_path)
    stack.start(session_id)
    wait_for(lambda: len(failed_jobs(stack, session_id)) == 1, "one of them failed")
    stack.press(session_id, "cancel").raise_for_status()
    stack.wait_until_idle("training")
    done = stack.shown(session_id)["phases"]["training"]["progress"]["current"] - 1
    worker.is_bad, worker.photos_of_work, worker.worked = lambda _: False, NEVER, 0

    job_id = retry(stack, session_id)
    assert status_of(stack, job_id) == "cancelled"
    stack.start(session_id)
    last = Watch(stack, session_id).until("completed")

    assert worker.worked <= PHOTOS - done
    assert status_of(stack, job_id) == "completed"
    assert last["phases"]["training"]["failed"] == 0
    assert last["phases"]["training"]["progress"]["current"] == PHOTOS


def rows(stack: Stack, query: str) -> list[tuple[Any, ...]]:
    """Rows of a query over the catalogue."""
    found: list[tuple[Any, ...]] = []

    async def read() -> None:
        engine = create_engine(stack.gateway.database_url)
        async with engine.connect() as connection:
            found.extend(tuple(row) for row in await connection.execute(text(query)))
        await engine.dispose()

    run_apart(read())
    return found


def test_a_deleted_session_leaves_what_it_found_and_takes_what_was_never_shown(stack: Stack, tmp_path: Path) -> None:
    session_id = stack.create(tmp_path)
    stack.start(session_id)
    Watch(stack, session_id).until("completed")
    shown = "SELECT 'face', id FROM faces WHERE generation = 1 UNION ALL SELECT 'person', id FROM persons ORDER BY 1, 2"
    before = rows(stack, shown)
    stack.worker("clustering").photos_of_work = 0
    stack.press(session_id, "restart-faces").raise_for_status()
    Watch(stack, session_id).until_phase("clustering", "running")
    assert rows(stack, "SELECT count(*) FROM faces WHERE generation > 1") == [(PHOTOS,)]
    stack.press(session_id, "pause").raise_for_status()

    answer = stack.client.delete(f"{SESSIONS}/{session_id}")

    assert answer.status_code == 204
    assert rows(stack, shown) == before
    assert len(before) > PHOTOS
    assert rows(stack, "SELECT count(*) FROM assets") == rows(stack, "SELECT count(*) FROM embeddings") == [(PHOTOS,)]
    for table in ("faces", "face_scans", "embeddings"):
        assert rows(stack, f"SELECT count(*) FROM {table} WHERE generation > 1") == [(0,)]  # noqa: S608
    for table in ("sessions", "session_assets", "session_job_counts", "runs", "run_items", "leases"):
        assert rows(stack, f"SELECT count(*) FROM {table}") == [(0,)], table  # noqa: S608
    groups = stack.client.get("/api/v1/faces/clusters").json()
    assert sum(group["faceCount"] for group in groups["items"]) == PHOTOS
