"""Sessions take turns at the services: a small one is not stuck behind a huge one."""

from pathlib import Path

from tests.support.scripted_stack import NEVER, Servers, Stack, Watch, overall_of

SHARD_PHOTOS = 5
HUGE_PHOTOS = 400
SMALL_PHOTOS = 10


def test_a_small_session_overtakes_a_huge_one_that_was_there_before(servers: Servers, tmp_path: Path) -> None:
    # In a gateway that has learnt nothing yet of how much the services bear.
    with servers.stack() as stack:
        _overtake(stack, tmp_path)


def _overtake(stack: Stack, tmp_path: Path) -> None:
    worker = stack.worker("training")
    worker.photos_of_work = 40
    (tmp_path / "huge").mkdir()
    (tmp_path / "small").mkdir()
    huge = stack.create(tmp_path / "huge", photos=HUGE_PHOTOS, config={"batchSize": SHARD_PHOTOS})
    stack.start(huge)
    Watch(stack, huge).until_phase("training", "running", current=20)
    small = stack.create(tmp_path / "small", photos=SMALL_PHOTOS, config={"batchSize": SHARD_PHOTOS})
    stack.start(small)
    Watch(stack, small).until_phase("training", "running")

    # As much again as the small one has, for each of the shards that were in flight before it came.
    worker.photos_of_work = 40 + 20 * SHARD_PHOTOS
    Watch(stack, small).until_phase("training", "completed")
    behind = stack.shown(huge)

    assert overall_of(behind)[0] == "running"
    assert behind["phases"]["training"]["progress"]["current"] < HUGE_PHOTOS / 2
    worker.photos_of_work = NEVER
    Watch(stack, small).until("completed")
    Watch(stack, huge).until("completed")
