"""What a simulated stack is made of: catalogue, workers, stream, aggregators and gateways as objects.

They are the real thing wherever that needs no I/O: events are those of the wire, aggregators fold and are restored by
the product's own functions, gateways show what `unify` says. The rest does what its namesake does, and each part has a
clock of its own.
"""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from google.protobuf.message import DecodeError

from triptych.v1 import progress_event_pb2, progress_pb2
from triptych_common.progress.events import PHASES_BY_NAME
from triptych_gateway.api.unified import unify
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.sessions.sessions import Session as SessionRow
from triptych_gateway.catalog.states import RunStatus, SessionStatus
from triptych_progress.messages import report_from_wire, session_to_wire
from triptych_progress.reducer import PHASES, BadReportError, Phase, Report
from triptych_progress.session import Session
from triptych_progress.snapshots import (
    Position,
    decode_position,
    decode_session,
    encode_position,
    encode_session,
)

SESSION_ID: Final = 7
WEIGHTS: Final[dict[Phase, float]] = {"training": 0.30, "face_detection": 0.65, "clustering": 0.05}
SHARD_PHOTOS: Final = 3
SECOND: Final = 1_000_000
BEGINNING: Final = datetime(2026, 1, 12, 10, 0, tzinfo=UTC)
RESTARTABLE: Final = ("completed", "failed", "cancelled")
STARTABLE: Final = ("pending", "paused", "failed", "cancelled")
STAGES: Final = ("neighbours", "tree", "merge")
_STREAM: Final = "2026-01-12T10:00:00+00:00"

RowT = TypeVar("RowT", Run, SessionRow)


@dataclass(kw_only=True)
class Time:
    """The true time, which nobody knows."""

    now: datetime = BEGINNING

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass(kw_only=True)
class Shard:
    """What the catalogue holds of a shard."""

    ordinal: int
    size: int
    done: int = 0
    failed: int = 0

    @property
    def left(self) -> int:
        return self.size - self.done - self.failed


def _row(kind: type[RowT], **values: Any) -> RowT:
    counts = dict.fromkeys(("total", "skipped", "done", "failed"), 0)
    fields: dict[str, Any] = {name: (counts | values).get(name) for name in kind.__dataclass_fields__}
    return kind(**fields)


class Catalogue:
    """What is committed, and the announcements that wait in the outbox."""

    def __init__(self, time: Time, *, skew_seconds: float) -> None:
        self._time = time
        self._skew = timedelta(seconds=skew_seconds)
        self.epoch = 0
        self.outbox: list[bytes] = []
        self.shards: dict[Phase, list[Shard]] = {}
        self.session = _row(
            SessionRow,
            **{"id": SESSION_ID, "name": "n", "status": "pending", "root_path": b"/photos", "photos_found": 0},
            **{"config": {}, "weights": WEIGHTS, "weighting": "fixed", "lifecycle_step": 0},
            **{"created_at": self.now, "updated_at": self.now},
        )
        self.runs: dict[str, Run] = {}
        for phase in PHASES:
            self._add_run(phase, number=1)

    @property
    def now(self) -> datetime:
        """Now, by the database's clock."""
        return self._time.now + self._skew

    @property
    def phase_ahead(self) -> Phase:
        """The first phase that is not completed; the last where all are."""
        return next((phase for phase in PHASES if self.runs[phase].status != "completed"), PHASES[-1])

    def change_session(self, status: SessionStatus, **values: Any) -> None:
        self.session = replace(self.session, status=status, **values)
        self._touch()

    def change_run(self, phase: Phase, status: RunStatus, **values: Any) -> None:
        """Change a run's row and announce it."""
        self.runs[phase] = replace(self.runs[phase], status=status, **values)
        self.announce(phase)

    def renew(self, phase: Phase, *, total: int = 0, skipped: int = 0) -> None:
        """Give a phase a new run, announced with all others."""
        self._add_run(phase, number=self.runs[phase].number + 1, total=total, skipped=skipped)
        self.shards.pop(phase, None)

    def store(self, phase: Phase, shard: Shard, *, is_good: bool) -> None:
        """Commit a photo's outcome."""
        shard.done += is_good
        shard.failed += not is_good
        run = self.runs[phase]
        self.runs[phase] = replace(run, done=run.done + is_good, failed=run.failed + (not is_good))
        self._touch()

    def announce(self, phase: Phase) -> None:
        run = self.runs[phase]
        self._touch()
        self.session = replace(self.session, lifecycle_step=self.session.lifecycle_step + 1)
        event = event_of(phase, run.number, source="pipeline", at=self.now)
        event.lifecycle.epoch, event.lifecycle.step = self.epoch, self.session.lifecycle_step
        event.lifecycle.state = progress_event_pb2.RunState.Value(f"RUN_STATE_{run.status.upper()}")
        event.lifecycle.total, event.lifecycle.skipped = run.total, run.skipped
        event.lifecycle.weight = WEIGHTS[phase]
        if run.error_code is not None:
            event.lifecycle.error.code, event.lifecycle.error.message = run.error_code, run.error_message or ""
        self.outbox.append(event.SerializeToString())

    def announce_shard(self, phase: Phase, shard: Shard) -> None:
        event = event_of(phase, self.runs[phase].number, source="pipeline", at=self.now)
        event.unit = f"shard-{shard.ordinal}"
        event.counts.done, event.counts.failed, event.counts.total = shard.done, shard.failed, shard.size
        self.outbox.append(event.SerializeToString())

    def _touch(self) -> None:
        later = self.session.updated_at + timedelta(microseconds=1)
        self.session = replace(self.session, updated_at=max(self.now, later))

    def _add_run(self, phase: Phase, *, number: int, total: int = 0, skipped: int = 0) -> None:
        self.runs[phase] = _row(
            Run,
            **{"id": 1, "session_id": SESSION_ID, "phase": phase, "number": number, "status": "pending"},
            **{
                "generation": 1,
                "shard_size": SHARD_PHOTOS,
                "found": 0,
                "renewed": 0,
                "forgets_persons": False,
                "evidence": {},
            },
            **{"total": total, "skipped": skipped},
        )


def event_of(phase: Phase, run: int, *, source: str, at: datetime) -> progress_event_pb2.ProgressEvent:
    """An event that reports nothing yet."""
    event = progress_event_pb2.ProgressEvent(
        session_id=SESSION_ID, phase=PHASES_BY_NAME[phase], run=run, source=source, worker=source
    )
    event.reported_at.FromDatetime(at)
    return event


@dataclass(kw_only=True)
class Flight:
    """An event on its way to the stream."""

    content: bytes
    may_be_lost: bool
    """Whether nobody would send it again: no acknowledgement is waited for, or who waited for it is dead."""
    worker: int | None = None


@dataclass(kw_only=True)
class Worker:
    """A worker's publisher: of each unit it keeps only the newest report."""

    number: int
    skew_seconds: float = 0.0
    newest: dict[tuple[int, int, str], progress_event_pb2.ProgressEvent] = field(default_factory=dict)

    def report(self, event: progress_event_pb2.ProgressEvent) -> None:
        key = (event.phase, event.run, event.unit)
        self.newest.pop(key, None)
        self.newest[key] = event

    def flights(self) -> list[Flight]:
        """Send what is newest; of a unit's last report an acknowledgement is waited for."""
        sent = [
            Flight(
                content=event.SerializeToString(),
                may_be_lost=event.counts.done + event.counts.failed < event.counts.total,
                worker=self.number,
            )
            for event in self.newest.values()
        ]
        self.newest.clear()
        return sent


@dataclass(frozen=True, kw_only=True)
class Message:
    """What the stream keeps."""

    time_microseconds: int
    content: bytes

    def report(self) -> Report:
        """What it reports. Raises DecodeError or BadReportError for what cannot be read."""
        return report_from_wire(progress_event_pb2.ProgressEvent.FromString(self.content))


@dataclass(kw_only=True)
class Store:
    """NATS's key-value store, as `SnapshotStore` writes it."""

    session: bytes = b""
    position: bytes = field(default_factory=lambda: encode_position(Position()))

    def write(self, session: Session, position: Position) -> None:
        """Replace the session's snapshot, unless another replica has folded it further."""
        if self.session:
            folded_to = decode_session(self.session)[1]
            if folded_to.covers(position) and folded_to != position:
                return
        self.session = encode_session(session, position=position)


class Replica:
    """An aggregator."""

    def __init__(self, stream: Sequence[Message], store: Store) -> None:
        self._stream = stream
        self._store = store
        self.session = Session()
        self.sequence = 0
        """Of the last message that is folded, from 1."""
        self.reached = 0
        """How far its state is, which may be further: the session's own snapshot may be newer than the position."""
        self.serves_from = 0
        self.restore()

    @property
    def serves(self) -> bool:
        """Whether it answers: not before it has folded all that was there when it started."""
        return self.sequence >= self.serves_from

    def restore(self) -> None:
        """Start from what is stored, however old that is."""
        self.session, own = Session(), Position()
        if self._store.session:
            self.session, own = decode_session(self._store.session)
        self.sequence = decode_position(self._store.position).sequence
        self.reached = max(self.sequence, own.sequence)
        self.serves_from = len(self._stream)

    def fold(self, most: int | None = None) -> None:
        """Fold the next messages."""
        end = len(self._stream) if most is None else min(self.sequence + most, len(self._stream))
        for message in self._stream[self.sequence : end]:
            with contextlib.suppress(DecodeError, BadReportError):
                self.session.apply(message.report(), time_microseconds=message.time_microseconds)
        self.sequence = end
        self.reached = max(self.reached, end)

    def save(self, *, with_position: bool = True) -> None:
        """Write a snapshot; without the position that covers it where it dies in between."""
        position = Position(stream=_STREAM, sequence=self.sequence)
        self._store.write(self.session, position)
        if with_position:
            self._store.position = encode_position(position)

    def says(self) -> progress_pb2.SessionProgress:
        """What it answers."""
        return session_to_wire(SESSION_ID, self.session)


class Gateway:
    """What one gateway has read and heard, and shows of it."""

    def __init__(self, time: Time, catalogue: Catalogue, *, skew_seconds: float) -> None:
        self._time = time
        self._catalogue = catalogue
        self._skew = timedelta(seconds=skew_seconds)
        self._heard: progress_pb2.SessionProgress | None = None
        self._heard_at = time.now
        self.session = catalogue.session
        self.runs = dict(catalogue.runs)

    def read(self) -> None:
        """Read the catalogue's rows."""
        self.session, self.runs = self._catalogue.session, dict(self._catalogue.runs)

    def hear(self, replica: Replica) -> None:
        """Hear an aggregator, and believe it unless another said something newer (as `LiveProgress` does)."""
        said = replica.says()
        if self._heard is None or said.revision > self._heard.revision:
            self._heard, self._heard_at = said, self._time.now

    def restart(self, replica: Replica) -> None:
        """Start anew: before it answers it has read the catalogue and heard an aggregator that is caught up."""
        self._heard = None
        self.read()
        replica.fold()
        self.hear(replica)

    def heard_runs(self) -> tuple[int, ...]:
        """The number of each phase's latest run that it has heard of, or 0."""
        return tuple(phase.run for phase in self._heard.phases) if self._heard is not None else (0,) * len(PHASES)

    def shows(self) -> dict[str, Any]:
        """The unified progress, as a reader of JSON gets it."""
        shown = unify(
            self.session,
            self.runs,
            self._heard,
            now=self._time.now + self._skew,
            stale=False,
            heard_seconds_ago=(self._time.now - self._heard_at).total_seconds(),
        )
        body: dict[str, Any] = json.loads(json.dumps(shown))
        return body


@dataclass(frozen=True, kw_only=True)
class Skews:
    """How far each clock is off, in seconds; NATS's is the measure."""

    workers: tuple[float, ...] = (0.0, 0.0, 0.0)
    database: float = 0.0
    gateways: tuple[float, ...] = (0.0, 0.0)
