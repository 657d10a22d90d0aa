"""Whose clock is off changes nothing that is told: the stream's own time is the measure, and it may jump."""

from typing import Any, Final

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.progress.happenings import LONGEST_SKEW_SECONDS, Happening, lives, skews
from tests.unit.progress.simulated_parts import SECOND, SESSION_ID, Skews
from tests.unit.progress.simulated_stack import SimulatedStack
from triptych_progress.reducer import CountsReport, Life, LifeReport
from triptych_progress.session import Session

BEGINNING_SECONDS: Final = 1_768_212_000
PHOTOS: Final = 2000
SHARD_PHOTOS: Final = 10
_jumps = st.floats(-LONGEST_SKEW_SECONDS, LONGEST_SKEW_SECONDS)


def _lived(life: list[Happening], of: Skews) -> SimulatedStack:
    """A session that lived through all that, up to now."""
    stack = SimulatedStack(photos=8, faces=5, skews=of)
    stack.start()
    for happening in life:
        happening.happen_to(stack)
    return stack


def _told(stack: SimulatedStack) -> list[dict[str, Any]]:
    """What each gateway shows, without the moments and the time since them."""
    bodies = [gateway.shows() for gateway in stack.gateways]
    for body in bodies:
        del body["revision"], body["updatedAt"]
        for part in (body["overallProgress"], *body["phases"].values()):
            for moment in ("startedAt", "completedAt", "elapsedSeconds", "stall"):
                part.pop(moment, None)
    return bodies


@settings(max_examples=40, deadline=None)
@given(life=lives, of=skews)
def test_the_clocks_of_workers_change_nothing(life: list[Happening], of: Skews) -> None:
    """Neither constant differences nor clocks that are set: not the counts, not the ETA, not a single bit."""
    right = _lived([one for one in life if one.what != "a_clock_is_set"], Skews())
    skewed = _lived(life, Skews(workers=of.workers))

    assert [replica.session for replica in skewed.replicas] == [replica.session for replica in right.replicas]
    assert [replica.says() for replica in skewed.replicas] == [replica.says() for replica in right.replicas]
    assert [gateway.shows() for gateway in skewed.gateways] == [gateway.shows() for gateway in right.gateways]


@settings(max_examples=40, deadline=None)
@given(life=lives, of=skews)
def test_no_number_depends_on_the_clocks_of_database_and_gateways(life: list[Happening], of: Skews) -> None:
    assert _told(_lived(life, of)) == _told(_lived(life, Skews()))


def _pace_after_jump(*, jump_seconds: float, at_photo: int, pace_seconds: float) -> list[float]:
    """Expected seconds per photo after each photo from the jump of the stream's clock on."""
    session, seconds = Session(), float(BEGINNING_SECONDS)
    life = Life(epoch=1, step=1, state="running", total=PHOTOS, skipped=0, weight=0.3)
    begun = LifeReport(session_id=SESSION_ID, phase="training", run=1, life=life)
    session.apply(begun, time_microseconds=round(seconds * SECOND))
    paces = []
    for photo in range(PHOTOS // 4):
        seconds += pace_seconds + (jump_seconds if photo == at_photo else 0)
        shard, done = divmod(photo, SHARD_PHOTOS)
        report = CountsReport(SESSION_ID, "training", 1, f"shard-{shard}", done + 1, 0, SHARD_PHOTOS)
        session.apply(report, time_microseconds=round(seconds * SECOND))
        expected = session.outlook().phases["training"]
        if photo >= at_photo:
            assert expected is not None
            paces.append(expected.seconds / (PHOTOS - photo - 1))
    return paces


@settings(max_examples=20, deadline=None)
@example(jump_seconds=9.9, at_photo=50, pace_seconds=0.05)  # the longest silence that counts as work
@example(jump_seconds=9.9, at_photo=50, pace_seconds=0.3)
@example(jump_seconds=9.9, at_photo=50, pace_seconds=1.0)
@example(jump_seconds=-600.0, at_photo=50, pace_seconds=0.05)
@given(jump_seconds=_jumps, at_photo=st.integers(50, 400), pace_seconds=st.sampled_from([0.05, 0.3, 1.0]))
def test_the_eta_hardly_changes_where_the_streams_own_clock_jumps(
    jump_seconds: float, at_photo: int, pace_seconds: float
) -> None:
    """Another server of NATS came to lead, whose clock is off: backwards no time passes, and a leap is a stall."""
    paces = _pace_after_jump(jump_seconds=jump_seconds, at_photo=at_photo, pace_seconds=pace_seconds)

    assert min(paces) > 0.75 * pace_seconds
    assert max(paces) < 1.25 * pace_seconds
