"""The embedder's service: refuses while its model loads, translates outcomes, and reports what was sent."""

import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from triptych.v1 import embedder_pb2, image_pb2, work_pb2
from triptych_common.errors import AwayError, InvalidRequestError, PreconditionError
from triptych_common.media import ImageLoader, MediaRoots, Resolution, decode_image, uri_from_path
from triptych_common.models.description import ModelInfo, vectors_from_bytes
from triptych_common.models.lifetime import ModelLifetime
from triptych_common.photos.batches import BatchLimits
from triptych_common.progress.publisher import ProgressPublisher, UnitReport
from triptych_embedder.embedding import Embedding
from triptych_embedder.models.base import EmbeddingModel
from triptych_embedder.service import EmbedderService


class _Colours(EmbeddingModel):
    """Embeds a photo as its first pixel, and a text as its length; fails on black."""

    resolution = Resolution()
    micro_batch = 2

    def __init__(self, *, has_text_tower: bool) -> None:
        self.info = ModelInfo(
            model_id="colours",
            pack="test",
            display_name="Colours",
            dimension=3,
            metric="euclidean",
            device="cpu",
            licence="CC0-1.0",
            has_text_tower=has_text_tower,
        )

    def embed_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        first = np.stack([image[0, 0] for image in images]).astype(np.float32)
        if not first.any(axis=1).all():
            raise ValueError("black")
        return first

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([[len(text), 0, 0] for text in texts], np.float32)


class _Recorder(ProgressPublisher):
    """Keeps reports instead of publishing them."""

    def __init__(self) -> None:
        super().__init__(nats_url="nats://192.0.2.1:1", source="test")
        self.reports: list[UnitReport] = []

    def report(self, report: UnitReport) -> None:
        self.reports.append(report)


@pytest.fixture
def publisher() -> _Recorder:
    return _Recorder()


@pytest.fixture(params=[True])
async def service(request: Any, publisher: _Recorder, tmp_path: Path) -> AsyncIterator[EmbedderService]:
    loader = ImageLoader(
        roots=MediaRoots([str(tmp_path)]),
        decode=decode_image,
        resolution=Resolution(),
        max_bytes=10_000,
        max_pixels=10_000,
    )
    one = EmbedderService(publisher)
    model = ModelLifetime[EmbeddingModel](lambda: _Colours(has_text_tower=request.param))
    info = (await model.load_first()).info
    limits = BatchLimits(micro_batch=2, decode_threads=1, max_concurrent_requests=1, decoded_bytes=10_000)
    one.core = Embedding(model=model, info=info, loader=loader, limits=limits)
    yield one
    await one.core.close()


def _items(folder: Path, colours: Sequence[str]) -> list[image_pb2.ImageItem]:
    items = []
    for number, colour in enumerate(colours):
        path = folder / f"{number}.png"
        Image.new("RGB", (2, 2), colour).save(path)
        source = image_pb2.ImageSource(uri=uri_from_path(os.fsencode(path)))
        items.append(image_pb2.ImageItem(item_id=number, image=source))
    return items


async def test_nothing_is_answered_until_the_model_is_loaded(publisher: _Recorder) -> None:
    service = EmbedderService(publisher)
    with pytest.raises(AwayError) as caught:
        await service.GetModelInfo(embedder_pb2.EmbedderGetModelInfoRequest(), None)
    assert caught.value.reason == "MODEL_LOADING"
    with pytest.raises(AwayError):
        await anext(service.EmbedImages(embedder_pb2.EmbedImagesRequest(), None))


async def test_a_micro_batch_is_reported_only_when_it_was_sent(
    service: EmbedderService, publisher: _Recorder, tmp_path: Path
) -> None:
    work = work_pb2.WorkUnit(
        session_id=1,
        phase=work_pb2.PHASE_TRAINING,
        run=1,
        unit="shard-0",
        unit_total=16,
        done_before=3,
        failed_before=1,
    )
    # More than may be computed and unread at once (four micro-batches), so that no one message can hold them all.
    colours = ["red", "black", "lime", "blue", "white", *["red"] * 7]
    request = embedder_pb2.EmbedImagesRequest(items=_items(tmp_path, colours), work=work)
    sent: list[embedder_pb2.EmbedOutcome] = []
    counts, sent_before = [], []
    async for message in service.EmbedImages(request, None):
        counts.append([(report.done, report.failed) for report in publisher.reports][-1:])
        failed = sum(outcome.HasField("error") for outcome in sent)
        sent_before.append([(3 + len(sent) - failed, 1 + failed)] if sent else [])
        sent.extend(message.outcomes)
    # What each message found reported when it was about to be sent: the messages before it, and not itself.
    assert counts == sent_before
    assert len(counts) > 1
    sent.sort(key=lambda outcome: outcome.item_id)
    assert (publisher.reports[-1].done, publisher.reports[-1].failed, publisher.reports[-1].is_last) == (14, 2, True)
    assert [outcome.WhichOneof("outcome") for outcome in sent] == ["vector", "error", *["vector"] * 10]
    assert vectors_from_bytes(sent[2].vector, dimension=3).tolist() == [[0, 255, 0]]
    assert (sent[1].error.code, sent[1].error.permanent) == (image_pb2.IMAGE_ERROR_CODE_MODEL_FAILED, False)
    assert sent[1].HasField("facts")


async def test_without_work_nothing_is_reported(service: EmbedderService, publisher: _Recorder, tmp_path: Path) -> None:
    request = embedder_pb2.EmbedImagesRequest(items=_items(tmp_path, ["red"]))
    assert [len(message.outcomes) async for message in service.EmbedImages(request, None)] == [1]
    assert publisher.reports == []


async def test_texts_are_embedded_where_the_model_can(service: EmbedderService) -> None:
    answer = await service.EmbedText(embedder_pb2.EmbedTextRequest(texts=["a", "four"]), None)
    assert [vectors_from_bytes(vector, dimension=3)[0, 0] for vector in answer.vectors] == [1, 4]
    for texts, reason in ([], "BAD_TEXT_COUNT"), (["x"] * 65, "BAD_TEXT_COUNT"), (["x" * 1001], "TEXT_TOO_LONG"):
        with pytest.raises(InvalidRequestError) as caught:
            await service.EmbedText(embedder_pb2.EmbedTextRequest(texts=texts), None)
        assert caught.value.reason == reason


@pytest.mark.parametrize("service", [False], indirect=True)
async def test_texts_are_refused_where_the_model_cannot(service: EmbedderService) -> None:
    with pytest.raises(PreconditionError) as caught:
        await service.EmbedText(embedder_pb2.EmbedTextRequest(texts=["a"]), None)
    assert caught.value.reason == "NO_TEXT_TOWER"
