"""A worker that cannot be reached costs time, never a photo."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from triptych.v1 import work_pb2
from triptych_common.models.description import ModelInfo
from triptych_common.rpc.channels import Replica, ReplicaPool
from triptych_gateway.catalog.library import photos
from triptych_gateway.catalog.library.photos import FoundPhoto
from triptych_gateway.catalog.runs import leases, lifecycle
from triptych_gateway.catalog.runs.shards import ShardItem
from triptych_gateway.catalog.sessions import control, jobs, sessions
from triptych_gateway.pipeline.ownership import OwnedSession
from triptych_gateway.pipeline.photos.photo_phase import PhotoPhase
from triptych_gateway.pipeline.photos.photo_services import EmbedderService
from triptych_gateway.pipeline.photos.shard_work import DEATHS_OF_ONE_PHOTO
from triptych_gateway.pipeline.retrying import Backoff


class GoneService(EmbedderService):
    """An embedder that told of its model and was gone before it got any work."""

    def __init__(self, pool: ReplicaPool, *, model: ModelInfo) -> None:
        super().__init__(pool)
        self._model = model
        self.calls = 0
        self.tried_often = asyncio.Event()

    async def model(self) -> ModelInfo:
        return self._model

    def call(
        self, replica: Replica, items: Sequence[ShardItem], *, model_id: str, work: work_pb2.WorkUnit | None = None
    ) -> Any:
        self.calls += 1
        if self.calls > 4 * DEATHS_OF_ONE_PHOTO:
            self.tried_often.set()
        return super().call(replica, items, model_id=model_id, work=work)


async def test_photos_are_not_given_up_while_no_worker_can_be_reached(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, bundled_model: ModelInfo
) -> None:
    async def wait_not_long(_: Backoff, __: object = None) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(Backoff, "wait", wait_not_long)
    async with engine.begin() as connection:
        session_id = await sessions.create_session(
            connection,
            name="n",
            root_path=b"/photos",
            config={},
            weights={"training": 0.3, "face_detection": 0.65, "clustering": 0.05},
            category_id=None,
            shard_size=1,
        )
        await photos.add_photos(connection, session_id, [FoundPhoto(path=b"/photos/a", size_bytes=1, modified_ns=1)])
        await control.start_session(connection, session_id)
        lease = await leases.claim(connection, holder="a")
        run = (await lifecycle.latest_runs(connection, session_id))["training"]
    assert lease is not None

    async with ReplicaPool(["127.0.0.1:1"], service="embedder") as pool:
        service = GoneService(pool, model=bundled_model)
        working = asyncio.create_task(PhotoPhase(OwnedSession(engine, lease), run, service).run())
        async with asyncio.timeout(60):
            await service.tried_often.wait()
        working.cancel()
        await asyncio.wait([working])

    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT done, failed FROM runs WHERE phase = 'training'"))
        assert [tuple(row) for row in rows] == [(0, 0)]
        assert await jobs.count_jobs(connection, session_id) == {"pending": 1}


@pytest.fixture
def bundled_model() -> ModelInfo:
    return ModelInfo(
        model_id="clip/1",
        display_name="A model",
        pack="bundled",
        device="cpu",
        dimension=4,
        notice="",
        licence="",
        metric="cosine",
    )
