"""The table of states: every status is in it, every way leads somewhere, and the buttons follow from it."""

from typing import get_args

import pytest

from triptych_gateway.catalog.states import (
    RUN,
    SESSION,
    Button,
    NotAllowedError,
    RunStatus,
    SessionStatus,
    allowed_buttons,
    press,
    statuses_before,
)


def test_every_status_has_its_row_and_leads_to_statuses_that_are_there() -> None:
    assert set(SESSION) == set(get_args(SessionStatus))
    assert set(RUN) == set(get_args(RunStatus))
    assert {after for events in SESSION.values() for after in events.values()} <= {*SESSION, None}
    assert {after for events in RUN.values() for after in events.values()} <= set(RUN)


@pytest.mark.parametrize("button", get_args(Button))
@pytest.mark.parametrize("status", get_args(SessionStatus))
def test_a_button_leads_where_the_table_says_or_is_refused_with_what_is_allowed(
    status: SessionStatus, button: Button
) -> None:
    if button in SESSION[status]:
        assert press(status, button) == SESSION[status][button]
        return
    with pytest.raises(NotAllowedError) as refused:
        press(status, button)

    assert (refused.value.status, refused.value.allowed) == (status, allowed_buttons(status))
    assert all(one in str(refused.value) for one in refused.value.allowed)


def test_a_button_that_would_change_nothing_is_not_offered() -> None:
    assert allowed_buttons("running") == ("pause", "cancel")
    assert "pause" not in allowed_buttons("paused")
    assert "cancel" not in allowed_buttons("cancelled")


@pytest.mark.parametrize("button", ["start", "pause", "resume", "cancel"])
@pytest.mark.parametrize("status", get_args(SessionStatus))
def test_a_button_pressed_twice_leads_to_the_same_status(status: SessionStatus, button: Button) -> None:
    if button in SESSION[status]:
        after = press(status, button)
        assert after is not None
        assert press(after, button) == after


def test_a_session_that_is_over_can_always_be_taken_up_again() -> None:
    for status in ("completed", "failed", "cancelled"):
        assert "running" in SESSION[status].values()


def test_a_run_that_ended_for_good_stays_as_it_is() -> None:
    assert RUN["completed"] == RUN["failed"] == {}
    assert sorted(statuses_before("running")) == ["cancelled", "paused", "pending", "running"]
    assert sorted(statuses_before("completed")) == ["pending", "running"]
