"""One id leads through the logs of all processes: of a request to a worker, of a session to its shards."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support import running_workers
from tests.support.real_servers import wait_for
from tests.support.running_workers import stop, until_serving
from tests.support.scripted_stack import Servers, Watch

PHOTOS = 4
CASE = "support-case.7"


def lines(log: Path, **wanted: Any) -> list[dict[str, Any]]:
    """Lines of a process's log in which these keys have these values, as text."""
    every = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in every if all(str(line.get(key)) == str(value) for key, value in wanted.items())]


# Three processes and a model, on a machine that may have much else to do.
@pytest.mark.timeout(600)
def test_a_request_and_a_session_are_found_in_the_logs_of_gateway_and_worker(servers: Servers, tmp_path: Path) -> None:
    album = servers.folder / "media" / "album"
    album.mkdir(parents=True)
    for number in range(PHOTOS):
        Image.new("RGB", (320, 240), (60 * number, 80, 120)).save(album / f"{number}.jpg")
    workers = running_workers.Stack(nats_url=servers.nats_url, media=servers.folder / "media", folder=tmp_path)
    embedder = workers.start("embedder", log_level="debug", log_format="json")
    try:
        asyncio.run(until_serving(embedder))
        with servers.stack(TRIPTYCH_EMBEDDER_ADDRESSES=embedder.address) as stack:
            session_id = stack.gateway.create(stack.client, album)
            path = f"/api/v1/training/sessions/{session_id}/start"
            started = stack.client.post(path, headers={"X-Request-ID": CASE})
            assert started.status_code == 200
            assert started.headers["x-request-id"] == CASE
            Watch(stack, session_id).until("completed")

            # The button, by the request's id; the session, by its own, to the worker's shard.
            [pressed] = lines(stack.gateway.log, event="asked for a change", request_id=CASE)
            assert pressed["path"] == path
            wait_for(
                lambda: bool(lines(stack.gateway.log, event="phase completed", session=session_id, phase="training")),
                "the gateway's line",
            )
            wait_for(
                lambda: bool(
                    lines(embedder.log, event="call answered", session=session_id, phase="training", run=1, shard=0)
                ),
                "the worker's line",
            )

            # A search, by the request's id, from the interface into the worker.
            picture = (album / "0.jpg").read_bytes()
            found = stack.client.post(
                "/api/v1/search",
                files={"image": ("mine.jpg", picture, "image/jpeg")},
                headers={"X-Request-ID": "search-8"},
            )
            assert found.status_code == 200, found.text
            wait_for(
                lambda: bool(lines(embedder.log, event="call answered", request_id="search-8")), "the worker's line"
            )

            # Whoever names none gets one; whoever names what could not stand in a log, another.
            anonymous = stack.client.get("/health").headers["x-request-id"]
            assert len(anonymous) == 32
            broken = stack.client.get("/health", headers={"X-Request-ID": "two words"}).headers["x-request-id"]
            assert len(broken) == 32
            assert broken != anonymous
    finally:
        stop(embedder.process)
