"""The insightface backend on networks as deep as published ones: the sums of many layers, in batches of any size."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from insightface.app import FaceAnalysis

from benchmarks.face_networks import write_costly_pack, write_deep_recogniser
from tests.support.insightface_pack import photo_with_faces
from triptych_common.models.devices import CPU, Device
from triptych_facedetect.models.base import DetectionOptions
from triptych_facedetect.models.insightface_model import InsightFace


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector as costly as SCRFD-10GF, and a recogniser with the layers of ArcFace r50."""
    directory = write_costly_pack(tmp_path_factory.mktemp("pack"))
    write_deep_recogniser(directory / "w600k_r50.onnx")
    return directory


@pytest.fixture(scope="module")
def model(pack: Path) -> Iterator[InsightFace]:
    options = DetectionOptions(device=CPU, threads=2, min_score=None, long_side_pixels=None, models_dir=pack)
    loaded = InsightFace.load(str(pack), options)
    yield loaded
    loaded.close()


def test_deep_networks_give_what_insightface_gives(model: InsightFace, pack: Path) -> None:
    analysis = FaceAnalysis(
        name=str(pack), allowed_modules=["detection", "recognition"], providers=["CPUExecutionProvider"]
    )
    analysis.prepare(ctx_id=0, det_size=(640, 640))
    photos = [photo_with_faces(count, height=1080, width=1440, seed=count) for count in (0, 2, 5)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        expected = [analysis.get(np.ascontiguousarray(photo[:, :, ::-1])) for photo in photos]
    found = model.detect(photos)
    assert [len(faces) for faces in found] == [len(faces) for faces in expected] == [0, 2, 5]
    for face, other in (
        (a, b) for faces, more in zip(found, expected, strict=True) for a, b in zip(faces, more, strict=True)
    ):
        np.testing.assert_allclose([face.x * 1440, face.y * 1080], other.bbox[:2], atol=0.5)
        assert float(face.embedding @ other.normed_embedding) >= 0.9999


@pytest.mark.skipif(
    "CUDAExecutionProvider" not in onnxruntime.get_available_providers(),
    reason="no onnxruntime-gpu here: InsightFace's networks on a GPU are untested",
)
def test_a_gpu_gives_what_the_cpu_gives(model: InsightFace, pack: Path) -> None:
    options = DetectionOptions(
        device=Device.parse("cuda"), threads=2, min_score=None, long_side_pixels=None, models_dir=pack
    )
    on_gpu = InsightFace.load(str(pack), options)
    assert on_gpu.info.device == "cuda:0"
    photos = [photo_with_faces(count, seed=count) for count in (0, 3, 6)]
    for faces, others in zip(on_gpu.detect(photos), model.detect(photos), strict=True):
        assert len(faces) == len(others)
        # A GPU's convolutions add in another order, and with fewer digits (TF32).
        assert all(float(a.embedding @ b.embedding) > 0.999 for a, b in zip(faces, others, strict=True))
    on_gpu.close()


def test_a_face_alone_and_among_sixty_four_has_one_vector(model: InsightFace) -> None:
    crowd = [photo_with_faces(16, height=960, width=1280, seed=seed) for seed in range(4)]
    together = [face.embedding for faces in model.detect(crowd) for face in faces]
    assert len(together) == 64
    alone = [face.embedding for photo in crowd[:1] for face in model.detect([photo])[0]]
    np.testing.assert_allclose(alone, together[:16], atol=1e-4)
    (single,) = model.detect([photo_with_faces(1, seed=9)])[0]
    (_, (again,)) = model.detect([crowd[0], photo_with_faces(1, seed=9)])
    np.testing.assert_allclose(single.embedding, again.embedding, atol=1e-4)
