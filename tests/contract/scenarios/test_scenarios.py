"""The scenarios of the specification, walked by a client that behaves as the shipped frontend does.

The stack is real and so are the frontend's two seconds between two polls; only the workers' models are scripted, so
that each phase lasts as long as a scenario needs it to.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import text

from tests.contract.scenarios.frontend import SESSIONS, Frontend, badge
from tests.support.real_servers import run_apart, wait_for
from tests.support.scripted_stack import HELD_AT, NEVER, PHASES, PHOTOS, Stack
from triptych_gateway.catalog.database import create_engine

STATUSES: Final = {"pending", "running", "processing", "paused", "completed", "failed", "cancelled"}


@pytest.fixture
def frontend(stack: Stack) -> Iterator[Frontend]:
    with stack.gateway.client() as client:
        yield Frontend(client=client)


@pytest.fixture
def directory(stack: Stack, tmp_path: Path) -> str:
    """A directory of photos under the media root."""
    made = stack.gateway.media / tmp_path.name
    made.mkdir()
    for number in range(PHOTOS):
        (made / f"{number:04}.jpg").write_bytes(b"nobody looks at it")
    return str(made)


@contextmanager
def at_a_walk(stack: Stack, frontend: Frontend) -> Iterator[None]:
    """Let the workers go on a step further each time that the frontend has asked: each phase is seen under way."""
    for phase in PHASES:
        stack.worker(phase).photos_of_work = 0
    asked, over = threading.Event(), threading.Event()
    ask = frontend.ask

    def ask_and_tell() -> dict[str, Any]:
        answer = ask()
        asked.set()
        return answer

    def lead() -> None:
        while not over.is_set():
            asked.wait()
            asked.clear()
            current = frontend.seen[-1]["overallProgress"]["currentPhase"] if frontend.seen else PHASES[0]
            if current in PHASES:
                stack.worker(current).photos_of_work += PHOTOS / 2

    frontend.ask = ask_and_tell  # type: ignore[method-assign]
    leading = threading.Thread(target=lead)
    leading.start()
    try:
        yield
    finally:
        over.set()
        asked.set()
        leading.join()


def run_to_the_end(frontend: Frontend, directory: str) -> dict[str, Any]:
    """A session from the form to its end."""
    frontend.create(directory)
    frontend.press("start")
    return frontend.poll()


def test_scenario_1_full_pipeline_observation(stack: Stack, frontend: Frontend, directory: str) -> None:
    frontend.create(directory)
    assert frontend.ask()["overallProgress"]["percentage"] == 0
    with at_a_walk(stack, frontend):
        assert frontend.press("start")["status"] == "running"
        last = frontend.poll()

    percentages = [body["overallProgress"]["percentage"] for body in frontend.seen]
    by_phase: dict[str, list[float]] = {phase: [] for phase in PHASES}
    for body in frontend.seen[:-1]:
        by_phase[body["overallProgress"]["currentPhase"]].append(body["overallProgress"]["percentage"])
    assert frontend.labels() == [
        "🎨 Training - Generating CLIP Embeddings",
        "😊 Face Detection - Analyzing Faces",
        "🔗 Clustering - Grouping Similar Faces",
        "✓ All Phases Complete",
    ]
    assert percentages == sorted(percentages)
    assert all(0 <= percentage <= 30 for percentage in by_phase["training"])
    assert all(30 <= percentage <= 95 for percentage in by_phase["face_detection"])
    assert all(95 <= percentage < 100 for percentage in by_phase["clustering"])
    assert last["overallProgress"]["percentage"] == 100
    assert [body["overallStatus"] for body in frontend.seen[1:-1]] == ["running"] * (len(frontend.seen) - 2)
    assert last["overallStatus"] == "completed", "which is what ends the polling"


def test_scenario_2_phase_breakdown(stack: Stack, frontend: Frontend, directory: str) -> None:
    frontend.create(directory)
    with at_a_walk(stack, frontend):
        frontend.press("start")
        frontend.poll()

    shown: dict[str, list[list[str]]] = {}
    for body in frontend.seen:
        phases = body["phases"]
        badges = [badge(phases["training"]), badge(phases["face_detection"]), badge(phases["clustering"])]
        shown.setdefault(body["overallProgress"]["currentPhase"], []).append(badges)
    assert any(first.endswith("%") and later == ["Pending", "Pending"] for first, *later in shown["training"])
    for badges in shown["face_detection"]:
        assert (badges[0], badges[2]) == ("✓ Complete", "Pending")
    for badges in shown["clustering"]:
        assert badges[:2] == ["✓ Complete", "✓ Complete"]
    assert shown["completed"] == [["✓ Complete"] * 3]


def test_scenario_3_eta_display(stack: Stack, frontend: Frontend, directory: str) -> None:
    frontend.create(directory)
    with at_a_walk(stack, frontend):
        frontend.press("start")
        last = frontend.poll()

    etas = [body["overallProgress"]["etaSeconds"] for body in frontend.seen]
    assert all(eta is None or (isinstance(eta, int) and eta >= 0) for eta in etas)
    assert any(eta is not None for eta in etas[:-1]), "a session under way says how long it will take"
    assert last["overallProgress"]["etaSeconds"] == 0


def test_scenario_4_backward_compatibility(stack: Stack, frontend: Frontend, directory: str) -> None:
    run_to_the_end(frontend, directory)

    async def make_old() -> None:
        engine = create_engine(stack.servers.database_url)
        async with engine.begin() as connection:
            await connection.execute(text("DELETE FROM runs WHERE phase <> 'training'"))
            await connection.execute(text("UPDATE sessions SET updated_at = clock_timestamp()"))
        await engine.dispose()

    run_apart(make_old())
    wait_for(lambda: frontend.ask()["phases"]["faceDetection"]["status"] == "pending", "the gateway has seen it")

    old = frontend.seen[-1]
    older = frontend.client.get(f"{SESSIONS}/{frontend.session_id}/progress").raise_for_status().json()
    listed = frontend.client.get(SESSIONS).raise_for_status().json()["items"]
    assert badge(old["phases"]["training"]) == "✓ Complete"
    assert [badge(old["phases"][name]) for name in ("faceDetection", "clustering")] == ["Pending", "Pending"]
    assert (older["progress"]["current"], older["progress"]["total"]) == (PHOTOS, PHOTOS)
    assert older["jobsSummary"]["completed"] == PHOTOS
    assert [session["id"] for session in listed] == [frontend.session_id]


def test_scenario_5_api_endpoint_verification(stack: Stack, frontend: Frontend, directory: str) -> None:
    frontend.create(directory)
    with at_a_walk(stack, frontend):
        frontend.press("start")
        frontend.poll()

    for body in frontend.seen:
        overall = body["overallProgress"]
        assert 0 <= overall["percentage"] <= 100
        assert overall["currentPhase"] in (*PHASES, "completed")
        assert body["phases"]["face_detection"] == body["phases"]["faceDetection"]
        for phase in body["phases"].values():
            assert phase["status"] in STATUSES
            assert 0 <= phase["progress"]["percentage"] <= 100
        weighted = sum(
            weight * body["phases"][name]["progress"]["percentage"]
            for name, weight in (("training", 0.30), ("faceDetection", 0.65), ("clustering", 0.05))
        )
        assert overall["percentage"] == pytest.approx(weighted, abs=0.11)


def test_pause_ends_the_polling_and_resume_begins_it_again(stack: Stack, frontend: Frontend, directory: str) -> None:
    stack.worker("training").photos_of_work = HELD_AT
    frontend.create(directory)
    frontend.press("start")
    wait_for(lambda: frontend.ask()["phases"]["training"]["progress"]["current"] == HELD_AT, "some photos are done")

    assert frontend.press("pause")["status"] == "paused"
    paused = frontend.poll()
    stack.worker("training").photos_of_work = NEVER
    assert frontend.press("resume")["status"] == "running"
    last = frontend.poll()

    assert paused["overallStatus"] == "paused"
    assert last["overallStatus"] == "completed"
    percentages = [body["overallProgress"]["percentage"] for body in frontend.seen]
    assert percentages == sorted(percentages)


def test_cancel_ends_the_polling_and_keeps_what_is_done(stack: Stack, frontend: Frontend, directory: str) -> None:
    stack.worker("training").photos_of_work = HELD_AT
    frontend.create(directory)
    frontend.press("start")
    wait_for(lambda: frontend.ask()["phases"]["training"]["progress"]["current"] == HELD_AT, "some photos are done")

    assert frontend.press("cancel")["status"] == "cancelled"

    assert frontend.poll()["overallStatus"] == "cancelled"
    assert frontend.seen[-1]["phases"]["training"]["progress"]["current"] == HELD_AT


@pytest.mark.parametrize("button", ["restart-training", "restart-faces", "restart-clustering"])
def test_a_restart_begins_the_polling_again(button: str, frontend: Frontend, directory: str) -> None:
    run_to_the_end(frontend, directory)

    answer = frontend.press(button)
    at_once = frontend.seen[-1]
    last = frontend.poll()

    assert answer["status"] == at_once["overallStatus"] == "running"
    assert answer["cleanup_stats"]["session_id"] == frontend.session_id
    assert answer["cleanup_stats"].keys() == {
        *("operation", "session_id", "items_deleted", "items_reset", "items_preserved", "duration_ms")
    }
    assert last["overallStatus"] == "completed"


def test_two_starts_at_once_are_one(stack: Stack, frontend: Frontend, directory: str) -> None:
    session_id = frontend.create(directory)["id"]

    def start(_: int) -> tuple[int, str]:
        with stack.gateway.client() as client:
            answer = client.post(f"{SESSIONS}/{session_id}/start")
            return answer.status_code, answer.json()["status"]

    with ThreadPoolExecutor(4) as browsers:
        answers = list(browsers.map(start, range(4)))
    frontend.ask()
    last = frontend.poll()

    assert answers == [(200, "running")] * 4
    assert last["overallStatus"] == "completed"
    assert {phase["run"] for phase in last["phases"].values()} == {1}
    assert stack.worker("training").worked == PHOTOS
