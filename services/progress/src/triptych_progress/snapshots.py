"""Sessions to bytes and back, for the key-value store."""

import json
from collections import deque
from typing import Any, Final

from triptych_progress.eta import WorkClock
from triptych_progress.reducer import PHASES, Life, RunState, SessionState
from triptych_progress.session import Session

FORMAT: Final = 1


class UnreadableSnapshotError(ValueError):
    """A snapshot of another format, or damaged: the stream must be folded again from its start."""


def encode_session(session: Session, *, sequence: int) -> bytes:
    """A session as folded up to a sequence of the stream."""
    return json.dumps(
        {
            "format": FORMAT,
            "sequence": sequence,
            "revision": session.revision,
            "phases": {phase: _encode_run(session.state.phases[phase]) for phase in PHASES},
            "clocks": {phase: _encode_clock(clock) for phase, clock in session.clocks.items()},
        },
        separators=(",", ":"),
    ).encode()


def decode_session(content: bytes) -> tuple[Session, int]:
    """The session of a snapshot and the sequence it was folded up to. Raises UnreadableSnapshotError."""
    try:
        data = json.loads(content)
        if data["format"] != FORMAT:
            raise UnreadableSnapshotError(f"format {data['format']}, not {FORMAT}")
        session = Session(
            state=SessionState(phases={phase: _decode_run(data["phases"][phase]) for phase in PHASES}),
            clocks={phase: _decode_clock(data["clocks"][phase]) for phase in PHASES if phase in data["clocks"]},
            revision=int(data["revision"]),
        )
        return session, int(data["sequence"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableSnapshotError(f"damaged snapshot: {error!r}") from error


def _encode_run(run: RunState) -> dict[str, Any]:
    return {
        "run": run.run,
        "life": vars(run.life) if run.life is not None else None,
        "open": [[unit, size, *counts] for (unit, size), counts in run.open_units.items()],
        "finished": {str(size): f"{bitmap:x}" for size, bitmap in run.finished_shards.items()},
        "failures": [[ordinal, size, failed] for (ordinal, size), failed in run.finished_failures.items()],
    }


def _decode_run(data: dict[str, Any]) -> RunState:
    return RunState(
        run=data["run"],
        life=Life(**data["life"]) if data["life"] is not None else None,
        open_units={(unit, size): (done, failed, stage) for unit, size, done, failed, stage in data["open"]},
        finished_shards={int(size): int(bitmap, 16) for size, bitmap in data["finished"].items()},
        finished_failures={(ordinal, size): failed for ordinal, size, failed in data["failures"]},
    )


def _encode_clock(clock: WorkClock) -> dict[str, Any]:
    return {
        "run": clock.run,
        "worked": round(clock.worked_seconds, 3),
        "last": clock.last_time_seconds,
        "gap": round(clock.usual_gap_seconds, 3),
        "samples": [[round(seconds, 3), current] for seconds, current in clock.samples],
    }


def _decode_clock(data: dict[str, Any]) -> WorkClock:
    clock = WorkClock(run=data["run"], worked_seconds=data["worked"], usual_gap_seconds=data["gap"])
    clock.last_time_seconds = data["last"]
    clock.samples = deque(((seconds, current) for seconds, current in data["samples"]), maxlen=clock.samples.maxlen)
    return clock
