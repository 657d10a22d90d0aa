"""Pausing, resuming and cancelling a session that is at work."""

from pathlib import Path

import pytest

from tests.support.real_servers import wait_for
from tests.support.running_gateway import read_events
from tests.support.scripted_stack import (
    HELD_AT,
    NEVER,
    PHASE_KEYS,
    PHASES,
    PHOTOS,
    SESSIONS,
    UNDER_WAY,
    Stack,
    Watch,
    overall_of,
    phases_of,
)


@pytest.mark.parametrize("phase", PHASES)
def test_a_paused_session_stands_still_and_resume_goes_on_from_there(phase: str, stack: Stack, tmp_path: Path) -> None:
    worker = stack.worker(phase)
    worker.photos_of_work = 0 if phase == "clustering" else HELD_AT
    session_id = stack.create(tmp_path)
    stack.start(session_id)
    watch = Watch(stack, session_id)
    watch.until_phase(phase, UNDER_WAY[phase], current=0 if phase == "clustering" else HELD_AT)

    answer = stack.press(session_id, "pause").json()
    paused = watch.look()
    again = stack.press(session_id, "pause").json()
    stack.wait_until_idle(phase)

    assert answer["status"] == again["status"] == "paused"
    assert overall_of(paused)[::2] == ("paused", phase)
    assert paused["phases"][PHASE_KEYS[phase]]["status"] == "paused"
    assert paused["overallProgress"]["etaSeconds"] is None
    assert paused["overallProgress"]["stall"] is None
    assert stack.client.get(f"{SESSIONS}/{session_id}").json()["pausedAt"] is not None

    worker.photos_of_work = NEVER
    assert stack.press(session_id, "resume").json()["status"] == "running"
    assert watch.look()["overallStatus"] == "running"
    last = watch.until("completed")

    assert watch.percentages() == sorted(watch.percentages())
    assert overall_of(last) == ("completed", 100, "completed")
    assert phases_of(last) == [("completed", PHOTOS, PHOTOS)] * 3
    if phase != "clustering":
        assert worker.worked == PHOTOS, "nothing that was stored is done twice"


def test_a_pause_takes_effect_also_when_another_gateway_is_asked(stack: Stack, tmp_path: Path) -> None:
    stack.worker("training").photos_of_work = HELD_AT
    session_id = stack.create(tmp_path)
    stack.start(session_id)
    Watch(stack, session_id).until_phase("training", "running", current=HELD_AT)
    other = tmp_path / "other"
    other.mkdir()

    with stack.servers.gateway(other, stack.progress) as second, second.client() as client:
        assert client.post(f"{SESSIONS}/{session_id}/pause").json()["status"] == "paused"
        stack.wait_until_idle("training")
        assert client.get(f"{SESSIONS}/{session_id}/progress-unified").json()["overallStatus"] == "paused"
        wait_for(lambda: stack.shown(session_id)["overallStatus"] == "paused", "the first gateway shows it too")


@pytest.mark.parametrize("phase", PHASES)
def test_a_cancelled_session_keeps_what_is_done_and_start_goes_on_with_the_rest(
    phase: str, stack: Stack, tmp_path: Path
) -> None:
    worker = stack.worker(phase)
    worker.photos_of_work = 0 if phase == "clustering" else HELD_AT
    session_id = stack.create(tmp_path)
    stack.start(session_id)
    watch = Watch(stack, session_id)
    watch.until_phase(phase, UNDER_WAY[phase], current=0 if phase == "clustering" else HELD_AT)

    answer = stack.press(session_id, "cancel").json()
    cancelled = watch.look()
    stack.wait_until_idle(phase)
    refused = stack.press(session_id, "pause")

    embedded = HELD_AT if phase == "training" else PHOTOS
    assert answer["status"] == "cancelled"
    assert f"{embedded} of {PHOTOS} photos" in answer["message"]
    assert cancelled["overallStatus"] == "cancelled"
    assert cancelled["phases"][PHASE_KEYS[phase]]["status"] == "cancelled"
    assert refused.status_code == 409
    assert "start" in refused.json()["error"]["details"]["allowed"]
    with stack.client.stream("GET", f"{SESSIONS}/{session_id}/progress-unified/stream") as events:
        assert [event["event"] for event in read_events(events.iter_lines())] == ["error"]

    worker.photos_of_work = NEVER
    stack.start(session_id)
    last = watch.until("completed")

    assert watch.percentages() == sorted(watch.percentages())
    assert phases_of(last) == [("completed", PHOTOS, PHOTOS)] * 3
    if phase != "clustering":
        assert worker.worked == PHOTOS


def test_a_session_that_was_never_started_can_be_cancelled_and_then_started(stack: Stack, tmp_path: Path) -> None:
    session_id = stack.create(tmp_path)

    assert stack.press(session_id, "pause").status_code == 409
    assert stack.press(session_id, "cancel").json()["status"] == "cancelled"
    assert overall_of(stack.shown(session_id)) == ("cancelled", 0, "training")
    stack.start(session_id)

    assert overall_of(Watch(stack, session_id).until("completed")) == ("completed", 100, "completed")


def test_buttons_pressed_in_quick_succession_leave_a_session_that_completes(stack: Stack, tmp_path: Path) -> None:
    session_id = stack.create(tmp_path)
    stack.start(session_id)

    for _ in range(5):
        for button in ("pause", "resume", "cancel", "start"):
            answer = stack.press(session_id, button)
            assert answer.status_code in (200, 409), answer.text

    if stack.shown(session_id)["overallStatus"] != "completed":
        stack.start(session_id)
    last = Watch(stack, session_id).until("completed")
    assert phases_of(last) == [("completed", PHOTOS, PHOTOS)] * 3
