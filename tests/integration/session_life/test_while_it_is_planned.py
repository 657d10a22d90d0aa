"""Buttons that are pressed while a run is planned take effect at once, and nothing is planned twice or left out."""

from pathlib import Path

import pytest

from tests.support.held_planning import held_planning
from tests.support.scripted_stack import PHASES, PHOTOS, SESSIONS, Stack, Watch, phases_of

PHOTO_PHASES = PHASES[:2]
HELD_AT = PHOTOS // 2
GOES_ON = {"pause": "resume", "cancel": "start"}
BECOMES = {"pause": "paused", "cancel": "cancelled"}


def assert_all_was_done_once(stack: Stack, watch: Watch) -> None:
    assert phases_of(watch.until("completed")) == [("completed", PHOTOS, PHOTOS)] * 3
    assert watch.percentages() == sorted(watch.percentages())
    assert [stack.worker(phase).worked for phase in PHOTO_PHASES] == [PHOTOS, PHOTOS]


@pytest.mark.parametrize("button", GOES_ON)
@pytest.mark.parametrize("phase", PHOTO_PHASES)
async def test_a_halt_is_accepted_and_the_plan_given_up(phase: str, button: str, stack: Stack, tmp_path: Path) -> None:
    session_id = stack.create(tmp_path)
    watch = Watch(stack, session_id)
    async with held_planning(stack.servers.database_url, session_id, phase=phase, ordinal=HELD_AT) as planning:
        stack.start(session_id)
        await planning.until_held()

        answer = stack.press(session_id, button)
        shown = watch.look()

        assert (answer.status_code, answer.json()["status"]) == (200, BECOMES[button])
        assert shown["overallStatus"] == BECOMES[button]
        await planning.until_given_up()
        assert await planning.committed_items() == 0
    assert stack.press(session_id, GOES_ON[button]).json()["status"] == "running"

    assert_all_was_done_once(stack, watch)


async def test_a_halt_is_accepted_by_a_gateway_that_does_not_plan(stack: Stack, tmp_path: Path) -> None:
    session_id = stack.create(tmp_path)
    watch = Watch(stack, session_id)
    other = tmp_path / "other"
    other.mkdir()
    async with held_planning(stack.servers.database_url, session_id, ordinal=HELD_AT) as planning:
        stack.start(session_id)
        await planning.until_held()

        with stack.servers.gateway(other, stack.progress) as second, second.client() as client:
            answer = client.post(f"{SESSIONS}/{session_id}/pause")
            assert (answer.status_code, answer.json()["status"]) == (200, "paused")
            await planning.until_given_up()
    assert stack.press(session_id, "resume").json()["status"] == "running"

    assert_all_was_done_once(stack, watch)


async def test_resumed_while_the_place_is_still_taken_it_is_planned_anew(stack: Stack, tmp_path: Path) -> None:
    session_id = stack.create(tmp_path)
    watch = Watch(stack, session_id)
    async with held_planning(stack.servers.database_url, session_id, ordinal=HELD_AT) as planning:
        stack.start(session_id)
        for _ in range(3):
            await planning.until_held()
            assert stack.press(session_id, "pause").json()["status"] == "paused"
            await planning.until_given_up()
            assert stack.press(session_id, "resume").json()["status"] == "running"
        await planning.until_held()

    assert_all_was_done_once(stack, watch)


async def test_what_was_cancelled_while_it_was_planned_can_be_restarted(stack: Stack, tmp_path: Path) -> None:
    session_id = stack.create(tmp_path)
    watch = Watch(stack, session_id)
    async with held_planning(stack.servers.database_url, session_id, ordinal=HELD_AT) as planning:
        stack.start(session_id)
        await planning.until_held()
        refused = stack.press(session_id, "restart-training", failed_only=False)
        assert (refused.status_code, refused.json()["error"]["details"]["allowed"]) == (409, ["pause", "cancel"])

        assert stack.press(session_id, "cancel").status_code == 200
        await planning.until_given_up()
        restarted = stack.press(session_id, "restart-training", failed_only=False)
        assert (restarted.status_code, restarted.json()["status"]) == (200, "running")
        await planning.until_held()

    assert_all_was_done_once(stack, watch)


async def test_what_else_changes_a_session_does_not_wait_for_its_plan(stack: Stack, tmp_path: Path) -> None:
    session_id = stack.create(tmp_path)
    async with held_planning(stack.servers.database_url, session_id, ordinal=HELD_AT) as planning:
        stack.start(session_id)
        await planning.until_held()
        assert stack.client.patch(f"{SESSIONS}/{session_id}", json={"name": "renamed"}).status_code == 200
        assert stack.press(session_id, "cancel").status_code == 200
        await planning.until_given_up()

    assert stack.client.delete(f"{SESSIONS}/{session_id}").status_code == 204
    assert stack.client.get(f"{SESSIONS}/{session_id}").status_code == 404
