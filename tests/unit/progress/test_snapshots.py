"""Snapshots: what is read is what was written, folding goes on from it, damage is told, and they stay small."""

import json
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.progress.simulated_sessions import WEIGHTS, deliveries, reports
from triptych_progress.reducer import CountsReport, Life, LifeReport, Phase, Report
from triptych_progress.session import Session
from triptych_progress.snapshots import (
    FORMAT,
    Position,
    UnreadableSnapshotError,
    decode_position,
    decode_session,
    encode_position,
    encode_session,
)

_POSITION = Position(stream="2026-01-01T00:00:00+00:00", sequence=42)
_PHOTOS = 1_000_000
_SHARD = 64


def _session(sent: list[Report], *, begin_microseconds: int = 1_700_000_000_000_000) -> Session:
    session = Session()
    for number, report in enumerate(sent):
        session.apply(report, time_microseconds=begin_microseconds + number * 250_001)
    return session


@given(reports())
def test_what_is_read_is_what_was_written(sent: list[Report]) -> None:
    session = _session(sent)
    read, position = decode_session(encode_session(session, position=_POSITION))
    assert read == session
    assert position == _POSITION
    assert read.outlook() == session.outlook()


@given(st.data())
def test_folding_goes_on_from_a_snapshot_also_where_it_overlaps_with_what_follows(data: st.DataObject) -> None:
    sent = data.draw(reports())
    cut = data.draw(st.integers(0, len(sent)))
    overlap = data.draw(st.integers(0, cut))
    read, _ = decode_session(encode_session(_session(sent[:cut]), position=_POSITION))
    for report in data.draw(deliveries(sent[overlap:])) if overlap < len(sent) else ():
        read.apply(report, time_microseconds=1)
    assert read.state == _session(sent).state


@given(reports())
def test_replaying_what_a_snapshot_covers_changes_neither_revision_nor_eta(sent: list[Report]) -> None:
    session = _session(sent)
    read, _ = decode_session(encode_session(session, position=_POSITION))
    for report in sent:
        assert not read.apply(report, time_microseconds=2_000_000_000_000_000)
    assert read == session


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"not a snapshot",
        zlib.compress(b"not json"),
        zlib.compress(b"[]"),
        zlib.compress(b"null"),
        zlib.compress(b"[" * 100_000),
        zlib.compress(bytes(70 * 2**20), 9),
        zlib.compress(json.dumps({"format": FORMAT}).encode())[:-1],
        zlib.compress(json.dumps({"format": FORMAT + 1}).encode()),
        zlib.compress(json.dumps({"format": FORMAT}).encode()),
        zlib.compress(json.dumps({"format": FORMAT, "phases": [], "clocks": {}, "revision": 0}).encode()),
    ],
)
def test_what_is_no_snapshot_is_told(content: bytes) -> None:
    with pytest.raises(UnreadableSnapshotError):
        decode_session(content)


@given(st.data())
def test_a_damaged_snapshot_is_told_never_misread(data: st.DataObject) -> None:
    session = _session(data.draw(reports()))
    content = bytearray(encode_session(session, position=_POSITION))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    try:
        read, position = decode_session(bytes(content))
    except UnreadableSnapshotError:
        return
    # A few bits of zlib's header say nothing about the content.
    assert (read, position) == (session, _POSITION)


@given(reports(), st.integers(1, 10_000))
def test_a_snapshot_cut_short_is_told(sent: list[Report], missing: int) -> None:
    content = encode_session(_session(sent), position=_POSITION)
    with pytest.raises(UnreadableSnapshotError):
        decode_session(content[: -min(missing, len(content))])


def test_positions_are_read_as_written() -> None:
    assert decode_position(encode_position(_POSITION)) == _POSITION


@pytest.mark.parametrize("content", [b"", b"12", b"{}", b"null", b'{"stream": "x", "sequence": "many"}', b"\xff"])
def test_what_is_no_position_is_told(content: bytes) -> None:
    with pytest.raises(UnreadableSnapshotError):
        decode_position(content)


def test_a_position_covers_those_before_it_in_the_same_stream_only() -> None:
    later, other = Position(stream=_POSITION.stream, sequence=43), Position(stream="another", sequence=1)
    assert later.covers(_POSITION)
    assert _POSITION.covers(_POSITION)
    assert not _POSITION.covers(later)
    assert not later.covers(other)
    assert not other.covers(later)


def test_a_million_photos_stay_below_50_kilobytes() -> None:
    session = Session()
    for phase in ("training", "face_detection"):
        _work_through(session, phase, failing_share=0.0)
    assert session.state.phases["training"].counts().done == _PHOTOS
    assert len(encode_session(session, position=_POSITION)) < 50_000


@pytest.mark.parametrize(("failing_share", "finished_share"), [(0.01, 1.0), (0.5, 0.5)])
def test_a_million_photos_stay_below_50_kilobytes_also_with_failures_and_gaps(
    failing_share: float, finished_share: float
) -> None:
    session = Session()
    for phase in ("training", "face_detection"):
        _work_through(session, phase, failing_share=failing_share, finished_share=finished_share)
    assert session.state.phases["training"].counts().failed > 5_000
    assert len(encode_session(session, position=_POSITION)) < 50_000


def _work_through(session: Session, phase: Phase, *, failing_share: float, finished_share: float = 1.0) -> None:
    """A run of a million photos; each shard fails on some, and is finished, by chance."""
    chance = random.Random(phase)
    life = Life(epoch=1, step=1, state="running", total=_PHOTOS, skipped=0, weight=WEIGHTS[phase])
    session.apply(LifeReport(session_id=1, phase=phase, run=1, life=life), time_microseconds=1)
    for ordinal in range(_PHOTOS // _SHARD):
        if chance.random() < finished_share:
            failed = sum(chance.random() < failing_share for _ in range(_SHARD)) if failing_share else 0
            report = CountsReport(
                session_id=1,
                phase=phase,
                run=1,
                unit=f"shard-{ordinal}",
                done=_SHARD - failed,
                failed=failed,
                total=_SHARD,
            )
            session.apply(report, time_microseconds=ordinal * 1_234_567)
