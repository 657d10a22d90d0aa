"""Live progress over REST while sessions run: one stream for all of them, stalls with their reason, weights."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.real_servers import PostgresServer, run_apart, wait_for
from tests.support.running_gateway import Gateway, read_events, running_gateway
from tests.support.scripted_progress import ScriptedProgress, phase_at_work, said, scripted_progress
from tests.support.scripted_workers import ScriptedWorkers, scripted_workers
from triptych_gateway.catalog.database import create_engine
from triptych_gateway.catalog.runs import history

SESSIONS = "/api/v1/training/sessions"
ALL = "/api/v1/training/progress/stream"
PHOTOS = 20


@pytest.fixture(scope="module")
def progress() -> Iterator[ScriptedProgress]:
    with scripted_progress() as running:
        yield running


@pytest.fixture(scope="module")
def workers() -> Iterator[ScriptedWorkers]:
    with scripted_workers() as running:
        # What is embedded first is to be seen before the rest.
        running.embedder.photos_of_work = 5
        yield running


@pytest.fixture(scope="module")
def gateway(
    postgres: PostgresServer,
    shared_nats_url: str,
    tmp_path_factory: pytest.TempPathFactory,
    progress: ScriptedProgress,
    workers: ScriptedWorkers,
) -> Iterator[Gateway]:
    name = postgres.create_database()
    settings = workers.settings() | {"TRIPTYCH_PROGRESS_ADDRESSES": progress.address}
    with running_gateway(
        database_url=postgres.url(name), nats_url=shared_nats_url, folder=tmp_path_factory.mktemp("live"), **settings
    ) as running:
        wait_for(lambda: progress.is_watched, "the gateway watches the aggregator")
        yield running
    postgres.drop_database(name)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx.Client]:
    with gateway.client() as opened:
        yield opened


def start(client: httpx.Client, gateway: Gateway, folder: Path, **config: Any) -> int:
    """A session at work, with some photos embedded and the others held back."""
    directory = gateway.media / folder.name
    directory.mkdir()
    for number in range(PHOTOS):
        (directory / f"{number:02}.jpg").write_bytes(b"nobody looks at it")
    session_id = gateway.create(client, directory, config=config)
    client.post(f"{SESSIONS}/{session_id}/start").raise_for_status()
    wait_for(lambda: unified(client, session_id)["phases"]["training"]["status"] == "running", "training runs")
    return session_id


def unified(client: httpx.Client, session_id: int) -> dict[str, Any]:
    body: dict[str, Any] = client.get(f"{SESSIONS}/{session_id}/progress-unified").raise_for_status().json()
    return body


def now_microseconds() -> int:
    return time.time_ns() // 1000


@contextmanager
def following_all(client: httpx.Client, last_event_id: str | None = None) -> Iterator[Iterator[dict[str, str]]]:
    headers = {"last-event-id": last_event_id} if last_event_id is not None else {}
    with client.stream("GET", ALL, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-cache"
        yield read_events(answer.iter_lines())


def next_about(events: Iterator[dict[str, str]], session_id: int, *, current: int) -> dict[str, str]:
    """The first event of a session that is so far, whatever comes before it."""
    for event in events:
        body = json.loads(event.get("data", "{}"))
        if body.get("sessionId") == session_id and body["phases"]["training"]["progress"]["current"] == current:
            return event
    raise AssertionError("the stream ended")


def test_one_stream_serves_every_session(
    client: httpx.Client, gateway: Gateway, progress: ScriptedProgress, tmp_path: Path
) -> None:
    first, second = (start(client, gateway, tmp_path / name) for name in ("first", "second"))

    with following_all(client) as events:
        whole: dict[int, Any] = {}
        while not {first, second} <= whole.keys():
            body = json.loads(next(events)["data"])
            whole[body["sessionId"]] = body
        assert whole[first].keys() == unified(client, first).keys()
        for session_id, done in ((first, 7), (second, 8)):
            at_work = phase_at_work("training", done=done, total=PHOTOS)
            progress.say(said(session_id, at_work, revision=now_microseconds()))
            told = next_about(events, session_id, current=done)
            assert told["event"] == "progress"

    with following_all(client, told["id"]) as again:
        at_work = phase_at_work("training", done=9, total=PHOTOS)
        progress.say(said(first, at_work, revision=now_microseconds()))
        newer = next_about(again, first, current=9)
        assert int(newer["id"]) >= int(told["id"])


def test_calibrated_weights_are_part_of_the_answer_and_stay(
    client: httpx.Client, gateway: Gateway, workers: ScriptedWorkers, tmp_path: Path
) -> None:
    remember(gateway, workers, training=60.0, face_detection=20.0, clustering=20.0)
    fixed = unified(client, start(client, gateway, tmp_path / "fixed", weighting="fixed"))
    session_id = start(client, gateway, tmp_path / "calibrated", weighting="calibrated")
    calibrated = unified(client, session_id)

    assert (fixed["overallProgress"]["weighting"], weights(fixed)) == ("fixed", [0.30, 0.65, 0.05])
    assert calibrated["overallProgress"]["weighting"] == "calibrated"
    assert sum(weights(calibrated)) == pytest.approx(1, abs=1e-9)
    assert weights(calibrated) != weights(fixed)

    remember(gateway, workers, training=1.0, face_detection=900.0, clustering=1.0)
    assert weights(unified(client, session_id)) == weights(calibrated)


def weights(body: dict[str, Any]) -> list[float]:
    """Of the phases, in order."""
    return [body["phases"][name]["weight"] for name in ("training", "faceDetection", "clustering")]


def remember(gateway: Gateway, workers: ScriptedWorkers, **seconds: float) -> None:
    """Have the gateway's history hold a run of 100 items of each phase."""
    models = zip(seconds, (workers.embedder.model, workers.facedetect.model, workers.cluster.model), strict=True)

    async def work() -> None:
        engine = create_engine(gateway.database_url)
        async with engine.begin() as connection:
            for phase, model in models:
                await history.record(
                    connection,
                    phase=phase,
                    model_id=model.model_id,
                    device=model.device,
                    items=100,
                    seconds=seconds[phase],
                )
        await engine.dispose()

    run_apart(work())


def test_a_stall_is_shown_with_the_service_that_is_away(
    client: httpx.Client,
    gateway: Gateway,
    progress: ScriptedProgress,
    workers: ScriptedWorkers,
    tmp_path: Path,
) -> None:
    session_id = start(client, gateway, tmp_path / "stalled")
    stalled = phase_at_work("training", done=3, total=PHOTOS)
    stalled.stalled_since.FromMicroseconds(now_microseconds() - 30_000_000)
    with client.stream("GET", f"{SESSIONS}/{session_id}/progress-unified/stream") as answer:
        events = read_events(answer.iter_lines())
        progress.say(said(session_id, stalled, revision=now_microseconds()))
        bodies = (json.loads(event["data"]) for event in events if "data" in event)
        told = next(body for body in bodies if body["overallProgress"]["stall"] is not None)
    assert told["overallStatus"] == "running"
    assert told["overallProgress"]["stall"]["phase"] == "training"
    assert told["overallProgress"]["stall"]["message"].startswith("no progress for ")
    assert "not answering" not in told["overallProgress"]["stall"]["message"], "the embedder holds still, but is there"

    workers.embedder.close()
    try:
        wait_for(lambda: client.get("/health").json()["services"]["embedder"]["status"] == "away", "that is noticed")

        def message() -> str:
            said_now: str = unified(client, session_id)["overallProgress"]["stall"]["message"]
            return said_now

        wait_for(lambda: message().endswith(" s: embedder is not answering"), "the reason is told")
        progress.say(said(session_id, phase_at_work("training", done=4, total=PHOTOS), revision=now_microseconds()))
        wait_for(lambda: unified(client, session_id)["overallProgress"]["stall"] is None, "work goes on")
    finally:
        workers.embedder.open()
