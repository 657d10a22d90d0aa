"""The face detector's gRPC service: messages to calls, outcomes to messages, and progress once they are sent."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from triptych.v1 import face_detector_pb2, face_detector_pb2_grpc
from triptych_common.errors import AwayError
from triptych_common.media import ImageFailure
from triptych_common.media.failure_messages import failure_to_wire
from triptych_common.models.description import model_to_wire, vector_to_bytes
from triptych_common.photos.reporting import SentOutcomes
from triptych_common.photos.requests import facts_to_wire, references_from_items, require_model
from triptych_common.progress.publisher import ProgressPublisher
from triptych_facedetect.detection import Detection, DetectOutcome
from triptych_facedetect.models.base import Face

SERVICE_NAME: Final = face_detector_pb2.DESCRIPTOR.services_by_name["FaceDetector"].full_name


class FaceDetectorService(face_detector_pb2_grpc.FaceDetectorServicer):
    """Answers UNAVAILABLE (MODEL_LOADING) until ``core`` is set."""

    def __init__(self, publisher: ProgressPublisher) -> None:
        self._publisher = publisher
        self.core: Detection | None = None

    async def DetectFaces(  # noqa: N802
        self, request: face_detector_pb2.DetectFacesRequest, context: Any
    ) -> AsyncGenerator[face_detector_pb2.DetectFacesResponse, None]:
        """Stream the outcomes of each micro-batch, and report them once they are sent."""
        detection = self._ready()
        require_model(request.model_id, detection.model)
        references = references_from_items(request.items)
        work = request.work if request.HasField("work") else None
        sent = SentOutcomes(self._publisher, work, item_count=len(references))
        async with aclosing(detection.detect_faces(references)) as batches:
            async for outcomes in batches:
                yield face_detector_pb2.DetectFacesResponse(
                    outcomes=[_outcome_to_wire(outcome) for outcome in outcomes], model_id=detection.model.model_id
                )
                # The server asks for more only when the message above has been sent.
                sent.add(outcomes)

    async def GetModelInfo(  # noqa: N802
        self, request: face_detector_pb2.FaceDetectorGetModelInfoRequest, context: Any
    ) -> face_detector_pb2.FaceDetectorGetModelInfoResponse:
        """Tell which model runs, and where."""
        return face_detector_pb2.FaceDetectorGetModelInfoResponse(model=model_to_wire(self._ready().model))

    def _ready(self) -> Detection:
        if self.core is None:
            raise AwayError("The model is being loaded.", reason="MODEL_LOADING", retry_after_seconds=1)
        return self.core


def _outcome_to_wire(outcome: DetectOutcome) -> face_detector_pb2.DetectOutcome:
    message = face_detector_pb2.DetectOutcome(
        item_id=outcome.item_id, processing_microseconds=round(outcome.seconds * 1e6)
    )
    if outcome.facts is not None:
        message.facts.CopyFrom(facts_to_wire(outcome.facts))
    if isinstance(outcome.result, ImageFailure):
        message.error.CopyFrom(failure_to_wire(outcome.result))
    else:
        message.faces.CopyFrom(face_detector_pb2.FaceSet(faces=[_face_to_wire(face) for face in outcome.result]))
    return message


def _face_to_wire(face: Face) -> face_detector_pb2.DetectedFace:
    return face_detector_pb2.DetectedFace(
        box=face_detector_pb2.BoundingBox(x=face.x, y=face.y, width=face.width, height=face.height),
        landmarks=[face_detector_pb2.Point(x=float(x), y=float(y)) for x, y in face.landmarks],
        score=face.score,
        embedding=vector_to_bytes(face.embedding),
    )
