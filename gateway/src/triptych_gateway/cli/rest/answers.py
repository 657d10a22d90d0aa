"""What the gateway's REST interface answers, as far as the command line reads it.

Every model is frozen and ignores keys it does not know, so that a newer gateway can add some. Names are the
contract's camelCase on the wire and snake_case here. Times that are only shown stay the contract's ISO 8601 text. Paths
may hold lone surrogates, which is how bytes that are not UTF-8 travel: `terminal.text.printable` before they are shown.
"""

from datetime import datetime
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

TERMINAL_STATUSES = frozenset({"completed", "failed", "cancelled"})
"""Statuses of a session after which nothing more happens by itself."""

Item = TypeVar("Item")


class Answer(BaseModel):
    """Base of everything that is read: frozen, tolerant to additional keys, camelCase on the wire."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Page(Answer, Generic[Item]):
    """One page of a list; `page` starts at 1."""

    items: tuple[Item, ...]
    total: int
    page: int
    page_size: int
    has_more: bool


class AuditEntry(Answer):
    """A request that was let through and was to change something."""

    at: datetime
    caller: str | None
    token_id: int | None
    method: str
    path: str
    session_id: int | None
    status: int


class Session(Answer):
    """One training session; counts are photos."""

    id: int
    name: str
    status: str
    root_path: str
    total_images: int = 0
    processed_images: int = 0
    failed_images: int = 0
    skipped_images: int = 0
    created_at: str | None = None


class SessionState(Answer):
    """The answer to start, pause, resume and cancel."""

    session_id: int
    status: str
    message: str | None = None


class Counts(Answer):
    """How far a phase is: photos for training and face detection, faces for clustering; percentage is 0..100."""

    current: int = 0
    total: int = 0
    percentage: float = 0.0
    eta_seconds: float | None = None
    images_per_minute: float | None = None
    unique: int | None = None
    skipped: int | None = None


class PhaseError(Answer):
    """Why a phase failed."""

    code: str
    message: str


class Model(Answer):
    """The model a phase runs; `notice` is one sentence that belongs beside its results."""

    id: str
    pack: str | None = None
    device: str | None = None
    notice: str | None = None


class PhaseResults(Answer):
    """What a phase has produced so far; each phase fills its own keys."""

    images_processed: int | None = None
    images_embedded: int | None = None
    faces_detected: int | None = None
    clusters_created: int | None = None


class Phase(Answer):
    """One phase of a session."""

    name: str
    status: str
    progress: Counts
    weight: float | None = None
    failed: int | None = None
    error: PhaseError | None = None
    stats: PhaseResults | None = None
    model: Model | None = None
    elapsed_seconds: float | None = None
    started_at: str | None = None
    completed_at: str | None = None


class Phases(Answer):
    """The three phases."""

    training: Phase
    face_detection: Phase
    clustering: Phase

    def in_order(self) -> tuple[Phase, Phase, Phase]:
        """The phases in the order in which they run."""
        return self.training, self.face_detection, self.clustering


class Stall(Answer):
    """That nothing goes on where it should; `message` is one sentence with the reason as far as it is known."""

    phase: str
    seconds: int
    message: str


class OverallProgress(Answer):
    """All phases as one: percentage is 0..100, remaining time in seconds of work; with a stall it stands still."""

    percentage: float
    current_phase: str
    eta_seconds: float | None = None
    eta_low_seconds: float | None = None
    eta_high_seconds: float | None = None
    stall: Stall | None = None
    started_at: str | None = None
    elapsed_seconds: float | None = None


class Snapshot(Answer):
    """The unified progress of one session at one moment."""

    session_id: int
    overall_status: str
    overall_progress: OverallProgress
    phases: Phases
    revision: int | None = None
    updated_at: datetime | None = None
    stale: bool = False

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.overall_status in TERMINAL_STATUSES

    def current_phase(self) -> Phase | None:
        """The phase under way, or the one it stopped in; None where all are done."""
        for phase in self.phases.in_order():
            if phase.name == self.overall_progress.current_phase:
                return phase
        return None


class Job(Answer):
    """What became of one photo."""

    id: int
    image_path: str
    status: str
    error_message: str | None = None
    error_code: str | None = None
    error_phase: str | None = None


class Problem(Answer):
    """A folder or file that discovery could not read."""

    path: str
    code: str
    message: str | None = None


class SampleFace(Answer):
    """One face shown for its group."""

    id: int
    asset_id: int | None = None
    path: str | None = None
    score: float | None = None
    probability: float | None = None


class Group(Answer):
    """Faces that clustering holds for one person; cohesion is 0..1, larger is tighter."""

    id: int
    face_count: int
    cohesion: float | None = None
    person_id: int | None = None
    model: str | None = None
    sample_faces: tuple[SampleFace, ...] = ()


class ServiceHealth(Answer):
    """Readiness of one service behind the gateway."""

    status: str


class Health(Answer):
    """The gateway's own word that it answers."""

    status: str
    services: dict[str, ServiceHealth] = Field(default_factory=dict)


class SearchSpace(Answer):
    """The embeddings of one model, as they are searched."""

    model: str
    is_active: bool
    photos: int
    waiting: int
    method: str
    state: str
    done: int
    total: int
    size_bytes: int
    built_at: str | None = None
    build_seconds: float | None = None


class SearchIndex(Answer):
    """What searches use."""

    spaces: tuple[SearchSpace, ...]


class Person(Answer):
    """Somebody whose faces are in the library."""

    id: int
    name: str | None
    face_count: int
    asset_count: int


class Photo(Answer):
    """A photo and the faces in it."""

    id: int
    path: str
    faces: tuple[SampleFace, ...]


class Forgetting(Answer):
    """What is to be forgotten, or is, and what was removed so far."""

    id: int
    kind: str
    subject_id: int
    persons: int
    faces: int
    photos: int
    sessions: int
    waits_for: str | None
    done_at: datetime | None
