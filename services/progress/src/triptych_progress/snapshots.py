"""Sessions to bytes and back, for the key-value store: JSON, compressed, well under NATS's limit of 1 MiB a value."""

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from triptych_common.progress.evidence import Evidence, Timing
from triptych_progress.messages import session_to_wire
from triptych_progress.pace import Pace
from triptych_progress.reducer import PHASES, Life, OpenUnit, RunState, SessionState
from triptych_progress.session import Session
from triptych_progress.work_clock import WorkClock

FORMAT: Final = 3
_MOST_BYTES: Final = 64 * 2**20
"""Of what a snapshot unpacks to: the largest, of a session of ten million photos, has a few megabytes."""
_DAMAGE: Final = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, zlib.error)


class UnreadableSnapshotError(ValueError):
    """A snapshot of another format, or damaged: the stream must be folded again from its start."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """A place in the stream. Sequences of a stream that was made anew have nothing to do with those before."""

    stream: str = ""
    """When the stream was made, which tells it from others of its name."""
    sequence: int = 0
    """Sequence of the last message that is folded; 0 before the first."""

    def covers(self, other: "Position") -> bool:
        """Whether whoever stands here has folded everything up to the other place of the same stream."""
        return self.stream == other.stream and self.sequence >= other.sequence


def encode_position(position: Position) -> bytes:
    """A position for the key that says what all snapshots together cover."""
    return json.dumps(vars(position)).encode()


def decode_position(content: bytes) -> Position:
    """The position in such a key. Raises UnreadableSnapshotError."""
    try:
        data = json.loads(content)
        return Position(stream=str(data["stream"]), sequence=int(data["sequence"]))
    except _DAMAGE as error:
        raise UnreadableSnapshotError(f"damaged position: {error!r}") from error


def encode_session(session: Session, *, position: Position) -> bytes:
    """A session as folded up to a position of the stream."""
    content = {
        "format": FORMAT,
        "position": vars(position),
        "revision": session.revision,
        "phases": {phase: _encode_run(session.state.phases[phase]) for phase in PHASES},
        "clocks": {phase: _encode_clock(clock) for phase, clock in session.clocks.items()},
    }
    # The fastest level: hundreds of small snapshots are written per second.
    return zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 1)


def decode_session(content: bytes) -> tuple[Session, Position]:
    """The session of a snapshot and the position it was folded up to. Raises UnreadableSnapshotError."""
    try:
        data = json.loads(_unpacked(content))
        if data["format"] != FORMAT:
            raise UnreadableSnapshotError(f"format {data['format']}, not {FORMAT}")
        session = Session(
            state=SessionState(phases={phase: _decode_run(data["phases"][phase]) for phase in PHASES}),
            clocks={phase: _decode_clock(data["clocks"][phase]) for phase in PHASES if phase in data["clocks"]},
            revision=int(data["revision"]),
        )
        position = Position(stream=str(data["position"]["stream"]), sequence=int(data["position"]["sequence"]))
        # What cannot be told of is damaged, too, and is better noticed now than by whoever asks.
        if not 0 <= session_to_wire(1, session).percentage <= 100:
            raise UnreadableSnapshotError("a percentage that cannot be")
    except _DAMAGE as error:
        raise UnreadableSnapshotError(f"damaged snapshot: {error!r}") from error
    return session, position


def _unpacked(content: bytes) -> bytes:
    """Raises zlib.error, and UnreadableSnapshotError for what unpacks to more than any snapshot does."""
    unpacking = zlib.decompressobj()
    unpacked = unpacking.decompress(content, _MOST_BYTES)
    if not unpacking.eof:
        raise UnreadableSnapshotError("it is cut short, or too large")
    return unpacked


def _encode_run(run: RunState) -> dict[str, Any]:
    return {
        "run": run.run,
        "life": _encode_life(run.life) if run.life is not None else None,
        "open": [[ordinal, size, *counts] for (ordinal, size), counts in run.open_shards.items()],
        "whole": [[unit, size, *counts] for (unit, size), counts in run.whole_units.items()],
        "finished": {str(size): f"{bitmap:x}" for size, bitmap in run.finished_shards.items()},
        "failures": {str(size): [*_gaps(run, size)] for size in {size for _, size in run.finished_failures}},
    }


def _encode_life(life: Life) -> dict[str, Any]:
    return {**vars(life), "evidence": vars(life.evidence)}


def _decode_life(data: dict[str, Any]) -> Life:
    evidence = data["evidence"]
    timings = {name: tuple(Timing(*one) for one in evidence[name]) for name in ("history", "probe")}
    return Life(**{**data, "evidence": Evidence(**{**evidence, **timings})})


def _gaps(run: RunState, size: int) -> Iterator[int]:
    """Failures of the finished shards of a size: by turns the gap to the next ordinal, and the failures there."""
    before = 0
    for ordinal in sorted(ordinal for ordinal, one in run.finished_failures if one == size):
        yield ordinal - before
        yield run.finished_failures[ordinal, size]
        before = ordinal


def _decode_run(data: dict[str, Any]) -> RunState:
    run = RunState(
        run=data["run"],
        life=_decode_life(data["life"]) if data["life"] is not None else None,
        open_shards={(ordinal, size): OpenUnit(*counts) for ordinal, size, *counts in data["open"]},
        whole_units={(unit, size): OpenUnit(*counts) for unit, size, *counts in data["whole"]},
        finished_shards={int(size): int(bitmap, 16) for size, bitmap in data["finished"].items()},
        finished_failures=dict(_failures(data["failures"])),
    )
    run.shards_done, run.shards_failed = run.recount_shards()
    return run


def _failures(gaps_by_size: dict[str, list[int]]) -> Iterator[tuple[tuple[int, int], int]]:
    """What `_gaps` wrote, as (ordinal, size) and failures."""
    for size, gaps in gaps_by_size.items():
        ordinal = 0
        for gap, failed in zip(gaps[::2], gaps[1::2], strict=True):
            ordinal += gap
            yield (ordinal, int(size)), failed


def _encode_clock(clock: WorkClock) -> dict[str, Any]:
    return {**vars(clock), "pace": vars(clock.pace)}


def _decode_clock(data: dict[str, Any]) -> WorkClock:
    return WorkClock(**{**data, "pace": Pace(**data["pace"])})
