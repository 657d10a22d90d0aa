"""Replicas that come and go while a session runs: processes behind a name that changes, as a headless Service's."""

import asyncio
import io
import json
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.file_opens import FileOpens
from tests.support.named_replicas import HostNames, NamedReplicas, Replica, has_mount_namespaces
from tests.support.real_servers import eventually
from tests.support.running_gateway import Gateway, running_gateway

PHOTOS = 4000
"""More than are done before anything here is over."""
SHARD_PHOTOS = 8
MICRO_BATCH = 4
SECONDS_PER_PHOTO = 0.04
SLOWER = 5
A_WHILE = 10 * SHARD_PHOTOS

pytestmark = pytest.mark.skipif(not has_mount_namespaces(), reason="names of a program's own need mount namespaces")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A gateway that knows embedders by a name, and photos that nobody has seen."""

    gateway: Gateway
    embedders: NamedReplicas
    engine: AsyncEngine
    photos: Path

    def start(self) -> int:
        """Start a session over the photos; returns its id."""
        with self.gateway.client() as client:
            session_id = self.gateway.create(client, self.photos, config={"batchSize": SHARD_PHOTOS})
            client.post(f"/api/v1/training/sessions/{session_id}/start").raise_for_status()
        return session_id

    def pause(self, session_id: int) -> None:
        """Halt the session."""
        with self.gateway.client() as client:
            client.post(f"/api/v1/training/sessions/{session_id}/pause").raise_for_status()

    async def counts(self) -> tuple[int, int]:
        """Photos done, and photos failed."""
        async with self.engine.connect() as connection:
            row = (await connection.execute(text("SELECT done, failed FROM runs WHERE phase = 'training'"))).one()
        return row.done, row.failed

    async def until_done(self, photos: int) -> None:
        """Wait until so many photos are done."""

        async def are_done() -> bool:
            return (await self.counts())[0] >= photos

        await eventually(are_done, f"{photos} photos are done")

    def interruptions(self) -> set[str]:
        """How calls for shards ended that did not end well, by the gateway's log."""
        lines = [json.loads(line) for line in self.gateway.log.read_text().splitlines() if line.startswith("{")]
        return {line.get("code", line["event"]) for line in lines if line["level"] != "info" and "shard" in line}


@pytest_asyncio.fixture
async def stage(database_url: str, engine: AsyncEngine, nats_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    hosts = HostNames(tmp_path / "hosts")
    media = tmp_path / "media"
    photos = media / "photos"
    photos.mkdir(parents=True)
    picture = io.BytesIO()
    Image.new("RGB", (16, 16), "navy").save(picture, "PNG")
    for number in range(PHOTOS):
        (photos / f"{number:04}.png").write_bytes(picture.getvalue())
    async with engine.begin() as connection:
        # What is known of the model's pace, so that no photo is read to find it out.
        await connection.execute(
            text("""
                INSERT INTO phase_history (phase, model_id, device, items, seconds)
                VALUES ('training', 'synthetic', 'cpu', 100, 4)""")
        )
    environment = {"NATS_URL": nats_url, "TRIPTYCH_MEDIA_ROOTS": str(media), "TRIPTYCH_MICRO_BATCH": str(MICRO_BATCH)}
    embedders = NamedReplicas(service="embedder", hosts=hosts, environment=environment, folder=tmp_path)
    with ExitStack() as exits:
        exits.callback(embedders.stop_all)
        await embedders.add(seconds_per_photo=SECONDS_PER_PHOTO)
        gateway = exits.enter_context(
            running_gateway(
                database_url=database_url,
                nats_url=nats_url,
                folder=tmp_path,
                prefix=hosts.prefix,
                TRIPTYCH_EMBEDDER_ADDRESSES=embedders.address,
            )
        )
        yield Stage(gateway=gateway, embedders=embedders, engine=engine, photos=photos)


async def until_computed(replica: Replica, photos: float) -> None:
    """Wait until so many photos went through a replica's model."""

    async def are_computed() -> bool:
        return await replica.photos_computed() >= photos

    await eventually(are_computed, f"{replica.address} has computed {photos} photos")


async def test_one_that_joins_gets_what_it_can_do_and_one_that_drains_takes_nothing_with_it(stage: Stage) -> None:
    [first] = stage.embedders.named
    slow = await stage.embedders.start(seconds_per_photo=SLOWER * SECONDS_PER_PHOTO)
    with FileOpens(stage.photos) as opens:
        session_id = stage.start()
        await until_computed(first, 1)

        stage.embedders.name(slow)
        await until_computed(slow, 1)
        before = await first.photos_computed(), await slow.photos_computed()
        await until_computed(first, before[0] + A_WHILE)
        by_first, by_slow = await first.photos_computed() - before[0], await slow.photos_computed() - before[1]
        assert MICRO_BATCH <= by_slow <= by_first / 2, "each gets what it has time for"

        # As Kubernetes does it: the name stands for it no longer, and it is told to end.
        stage.embedders.forget(first)
        first.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(first.process.wait, 60) == 0
        # Whatever it left of its shards would be done first.
        await stage.until_done((await stage.counts())[0] + 4 * SHARD_PHOTOS)
        stage.pause(session_id)
        read = opens.counts()

    assert set(read.values()) == {1}, "a photo was computed twice"
    done, failed = await stage.counts()
    assert failed == 0
    assert done <= len(read) < PHOTOS
    # The one that is left may be full for a moment.
    assert stage.interruptions() <= {"RESOURCE_EXHAUSTED"}
