"""The cases of the REST contract's table, from the events of a session to what is shown of it.

Each case is told twice, as the pipeline would: by the catalogue's rows, and by the events that services and pipeline
send. The events go through the fold and over the wire, the rows and what came of the events through the snapshot.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import pytest

from tests.unit.progress.contract_stories import (
    START,
    Story,
    an_old_session_without_a_face_detection_record,
    between_two_phases,
    clustering_raises,
    every_image_fails,
    failed_only_restart_answered,
    failed_only_restart_at_its_end,
    failed_only_restart_under_way,
    fold_on,
    in_the_middle_of_face_detection,
    no_faces_found_in_any_photo,
    paused,
    paused_then_resumed,
    photos_are_found,
    photos_are_looked_for,
    process_killed_and_started_again,
    restart_answered,
    restart_under_way,
    some_images_fail,
    zero_images_in_the_directory,
)
from triptych_gateway.api import schemas
from triptych_progress.reducer import PHASES, Phase
from triptych_progress.session import Session
from triptych_progress.snapshots import Position, decode_session, encode_session

PENDING: Final = ("pending", 0, 0, 0)
"""A phase of which nothing is known yet."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A session, and what is to be shown of it."""

    make: Callable[[], Story]
    overall: tuple[str, float, str]
    """Status, percentage and current phase."""
    phases: Mapping[Phase, tuple[str, int, int, int]]
    """Status, current, total and failed of some phases."""


CASES: Mapping[str, Case] = {
    "clustering raises": Case(
        make=clustering_raises,
        overall=("failed", 99.9, "clustering"),
        phases={"clustering": ("failed", 8, 8, 0), "training": ("completed", 10, 10, 0)},
    ),
    "no faces found in any photo": Case(
        make=no_faces_found_in_any_photo,
        overall=("completed", 100, "completed"),
        phases={"clustering": ("completed", 0, 0, 0), "face_detection": ("completed", 10, 10, 0)},
    ),
    "zero images in the directory": Case(
        make=zero_images_in_the_directory,
        overall=("completed", 100, "completed"),
        phases=dict.fromkeys(PHASES, ("completed", 0, 0, 0)),
    ),
    "every image fails": Case(
        make=every_image_fails,
        overall=("failed", 30, "training"),
        phases={"training": ("failed", 10, 10, 10), "face_detection": PENDING},
    ),
    "some images fail": Case(
        make=some_images_fail,
        overall=("completed", 100, "completed"),
        phases={"training": ("completed", 10, 10, 3), "face_detection": ("completed", 10, 10, 4)},
    ),
    "paused, then resumed: paused": Case(
        make=paused,
        overall=("paused", 12, "training"),
        phases={"training": ("paused", 8, 20, 0)},
    ),
    "paused, then resumed: resumed": Case(
        make=paused_then_resumed,
        overall=("running", 12, "training"),
        phases={"training": ("running", 8, 20, 0)},
    ),
    "process killed in any phase and started again: training": Case(
        make=partial(process_killed_and_started_again, "training"),
        overall=("running", 12, "training"),
        phases={"training": ("running", 8, 20, 0)},
    ),
    "process killed in any phase and started again: face detection": Case(
        make=partial(process_killed_and_started_again, "face_detection"),
        overall=("running", 56, "face_detection"),
        phases={"training": ("completed", 20, 20, 0), "face_detection": ("processing", 8, 20, 0)},
    ),
    "process killed in any phase and started again: clustering": Case(
        make=partial(process_killed_and_started_again, "clustering"),
        overall=("running", 97, "clustering"),
        phases={"face_detection": ("completed", 20, 20, 0), "clustering": ("running", 8, 20, 0)},
    ),
    "failed-only restart: answered": Case(
        make=failed_only_restart_answered,
        overall=("running", 21, "training"),
        phases={"training": ("pending", 7, 10, 0), "face_detection": PENDING},
    ),
    "failed-only restart: under way": Case(
        make=failed_only_restart_under_way,
        overall=("running", 24, "training"),
        phases={"training": ("running", 8, 10, 0)},
    ),
    "failed-only restart: at its end": Case(
        make=failed_only_restart_at_its_end,
        overall=("running", 30, "face_detection"),
        phases={"training": ("completed", 10, 10, 1)},
    ),
    "restart of a phase of a finished session: training, answered": Case(
        make=partial(restart_answered, "training"),
        overall=("running", 12, "training"),
        phases={"training": ("pending", 4, 10, 0), "face_detection": PENDING, "clustering": PENDING},
    ),
    "restart of a phase of a finished session: training, under way": Case(
        make=partial(restart_under_way, "training"),
        overall=("running", 21, "training"),
        phases={"training": ("running", 7, 10, 1), "face_detection": PENDING, "clustering": PENDING},
    ),
    "restart of a phase of a finished session: face detection, answered": Case(
        make=partial(restart_answered, "face_detection"),
        overall=("running", 56, "face_detection"),
        phases={
            "training": ("completed", 10, 10, 0),
            "face_detection": ("pending", 4, 10, 0),
            "clustering": PENDING,
        },
    ),
    "restart of a phase of a finished session: face detection, under way": Case(
        make=partial(restart_under_way, "face_detection"),
        overall=("running", 75.5, "face_detection"),
        phases={
            "training": ("completed", 10, 10, 0),
            "face_detection": ("processing", 7, 10, 1),
            "clustering": PENDING,
        },
    ),
    "restart of a phase of a finished session: clustering, answered": Case(
        make=partial(restart_answered, "clustering"),
        overall=("running", 95, "clustering"),
        phases={"face_detection": ("completed", 10, 10, 0), "clustering": PENDING},
    ),
    "restart of a phase of a finished session: clustering, under way": Case(
        make=partial(restart_under_way, "clustering"),
        overall=("running", 97.5, "clustering"),
        phases={"face_detection": ("completed", 10, 10, 0), "clustering": ("running", 3, 6, 0)},
    ),
    "an old session that has no face-detection record": Case(
        make=an_old_session_without_a_face_detection_record,
        overall=("cancelled", 30, "face_detection"),
        phases={
            "training": ("completed", 10, 10, 0),
            "face_detection": PENDING,
            "clustering": PENDING,
        },
    ),
    "late, duplicated or re-ordered progress events": Case(
        make=in_the_middle_of_face_detection,
        overall=("running", 62.5, "face_detection"),
        phases={"training": ("completed", 10, 10, 1), "face_detection": ("processing", 15, 30, 1)},
    ),
    "running from start to end: photos are looked for": Case(
        make=photos_are_looked_for,
        overall=("running", 0, "training"),
        phases=dict.fromkeys(PHASES, PENDING),
    ),
    "running from start to end: photos are found": Case(
        make=photos_are_found,
        overall=("running", 0, "training"),
        phases={"training": ("pending", 0, 10, 0), "clustering": PENDING},
    ),
    "running from start to end: between two phases": Case(
        make=between_two_phases,
        overall=("running", 30, "face_detection"),
        phases={"training": ("completed", 10, 10, 0), "face_detection": ("pending", 0, 10, 0)},
    ),
}
"""By the contract's name of each, and where it has several, what tells it from the others."""
ROWS: Final = (
    "clustering raises",
    "no faces found in any photo",
    "zero images in the directory",
    "every image fails",
    "some images fail",
    "paused, then resumed",
    "process killed in any phase and started again",
    "failed-only restart",
    "restart of a phase of a finished session",
    "an old session that has no face-detection record",
    "late, duplicated or re-ordered progress events",
)
"""The contract's table but for two runs of one phase at once: that they are refused is no question of progress."""


def _phases_of(shown: schemas.UnifiedProgress) -> dict[str, tuple[str, int, int, int]]:
    """Status, current, total and failed of each phase."""
    phases = (shown.phases.training, shown.phases.face_detection, shown.phases.clustering)
    return {one.name: (one.status, one.progress.current, one.progress.total, one.failed) for one in phases}


def _overall_of(shown: schemas.UnifiedProgress) -> tuple[str, float, str]:
    """Status, percentage and current phase."""
    return shown.overall_status, shown.overall_progress.percentage, shown.overall_progress.current_phase


def test_every_row_of_the_contracts_table_has_its_cases() -> None:
    assert {name.partition(":")[0] for name in CASES} == {*ROWS, "running from start to end"}


@pytest.mark.parametrize("name", CASES)
def test_case_comes_out_right(name: str) -> None:
    case = CASES[name]

    shown = case.make().shown()

    assert _overall_of(shown) == case.overall
    assert {phase: _phases_of(shown)[phase] for phase in case.phases} == case.phases


@pytest.mark.parametrize("name", CASES)
def test_each_phases_percentage_agrees_with_its_counts(name: str) -> None:
    shown = CASES[name].make().shown()

    for phase in (shown.phases.training, shown.phases.face_detection, shown.phases.clustering):
        stats = phase.progress
        if stats.total:
            assert stats.percentage == 100 * stats.current / stats.total
        else:
            assert stats.percentage == (100 if phase.status == "completed" else 0)


@pytest.mark.parametrize("name", CASES)
def test_late_duplicated_and_reordered_events_end_in_the_same_numbers(name: str) -> None:
    story = CASES[name].make()
    in_order = story.shown()

    for seed in range(20):
        arriving = [*story.events, *random.Random(seed).choices(story.events, k=5)]
        random.Random(seed).shuffle(arriving)
        shown = story.shown(arriving=arriving)
        assert (_overall_of(shown), _phases_of(shown)) == (_overall_of(in_order), _phases_of(in_order))


@pytest.mark.parametrize("name", CASES)
def test_no_case_shows_more_without_the_aggregator_than_with_it(name: str) -> None:
    """While the aggregator is away the catalogue's counts are shown: what is stored, and never more than was seen."""
    story = CASES[name].make()

    alone, both = story.shown(arriving=[]), story.shown()

    assert alone.overall_status == both.overall_status
    assert alone.overall_progress.current_phase == both.overall_progress.current_phase
    assert alone.overall_progress.percentage <= both.overall_progress.percentage


@pytest.mark.parametrize("name", CASES)
def test_a_hundred_is_shown_if_and_only_if_the_session_is_completed(name: str) -> None:
    shown = CASES[name].make().shown()

    assert (shown.overall_progress.percentage == 100) == (shown.overall_status == "completed")


@pytest.mark.parametrize(
    ("name", "phase", "error"),
    [
        ("clustering raises", "clustering", ("clustering_failed", "Clustering failed: it raised.")),
        ("every image fails", "training", ("every_photo_failed", "All 10 photos failed.")),
    ],
)
def test_the_error_of_the_phase_that_failed_is_named(name: str, phase: str, error: tuple[str, str]) -> None:
    phases = CASES[name].make().shown().phases

    told: schemas.PhaseProgress = getattr(phases, phase)
    assert told.error is not None
    assert (told.error.code, told.error.message) == error
    assert {one.name for one in (phases.training, phases.face_detection, phases.clustering) if one.error} == {phase}


@pytest.mark.parametrize("name", CASES)
def test_an_aggregator_that_died_anywhere_and_folds_some_of_it_again_shows_the_same(name: str) -> None:
    story = CASES[name].make()
    undisturbed = story.shown()

    for cut in range(len(story.events) + 1):
        snapshot = encode_session(fold_on(Session(), story.events[:cut]), position=Position(sequence=cut))
        for again in range(min(cut, 3) + 1):
            restored, _ = decode_session(snapshot)
            assert story.shown_of(fold_on(restored, story.events[cut - again :])) == undisturbed


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith(("paused", "process killed"))])
def test_the_bar_goes_on_from_where_it_stood(name: str) -> None:
    story = CASES[name].make()

    percentages = [
        story.shown(arriving=story.events[:count]).overall_progress.percentage
        for count in range(len(PHASES) + 1, len(story.events) + 1)
    ]

    assert percentages == sorted(percentages)


def test_the_eta_excludes_the_pause() -> None:
    """An hour's pause after eight seconds of work for eight photos: twelve photos are still a matter of seconds."""
    story = paused_then_resumed()
    story.events.clear()
    story.now = START
    for phase in PHASES:
        story.life(phase, "pending")
    story.life("training", "running", total=20)
    for done in range(1, 9):
        story.work("training", done=done)
    story.life("training", "paused")
    story.wait(3600)
    story.life("training", "running")

    eta = story.shown().phases.training.progress.eta_seconds

    assert eta is not None
    assert 0 < eta < 60
