"""The face detector's process: its settings, and how its parts are put together."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from pydantic import Field

from triptych.v1 import face_detector_pb2_grpc
from triptych_common.media.decoders.process import COMMAND
from triptych_common.models.devices import Device
from triptych_common.photos.core import bring_up
from triptych_common.photos.serving import serve_photo_service
from triptych_common.process import run_process
from triptych_common.progress.publisher import ProgressPublisher
from triptych_common.settings import PhotoServiceSettings
from triptych_facedetect.detection import Detection
from triptych_facedetect.models.base import DetectionOptions, FaceModel
from triptych_facedetect.models.registry import load_model
from triptych_facedetect.service import SERVICE_NAME, FaceDetectorService

Load: TypeAlias = Callable[[str, DetectionOptions], FaceModel]
"""Loads and warms up a model by its name."""


class FaceDetectSettings(PhotoServiceSettings):
    """Settings of the face detector."""

    listen: str = "127.0.0.1:50052"
    """Address that the service listens on, host:port."""
    min_face_score: float | None = Field(default=None, ge=0, le=10)
    """Faces that the detector is less sure of are not reported. Where it is not set, the model's own: 0.3 of the
    bundled one, where ordinary faces score 0.5 to 3 and a false one 0.12; 0.5 of InsightFace's, which give 0 to 1."""
    detection_long_side_pixels: int | None = Field(default=None, ge=64, le=8192)
    """Photos are shrunk until their longer side is this long before they are searched: smaller is faster and misses
    small faces. Where it is not set, the model's own: 1600 of the bundled one, 640 of InsightFace's."""


async def serve(
    settings: FaceDetectSettings, *, load: Load = load_model, decoder_command: Sequence[str] = COMMAND
) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigurationError where the process cannot start as it is set up.

    ``decoder_command`` starts each process that decodes photos.
    """

    def add(publisher: ProgressPublisher, server: Any) -> FaceDetectorService:
        service = FaceDetectorService(publisher)
        face_detector_pb2_grpc.add_FaceDetectorServicer_to_server(service, server)
        return service

    await serve_photo_service(
        settings,
        listen=settings.listen,
        source="facedetect",
        service_name=SERVICE_NAME,
        add=add,
        load=lambda: _detection(settings, load, decoder_command),
    )


async def _detection(settings: FaceDetectSettings, load: Load, decoder_command: Sequence[str]) -> Detection:
    options = DetectionOptions(
        device=Device.parse(settings.device),
        threads=settings.inference_threads,
        min_score=settings.min_face_score,
        long_side_pixels=settings.detection_long_side_pixels,
        models_dir=settings.models_dir,
    )
    core = await bring_up(settings, lambda: load(settings.model, options), decoder_command=decoder_command)
    return Detection(model=core.model, info=core.info, loader=core.loader, limits=core.limits, decoders=core.decoders)


def main() -> None:
    """Entry point of the console script."""
    run_process("facedetect", FaceDetectSettings, serve)
