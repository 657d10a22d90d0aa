"""How many shards are in flight: grows, halves, and never passes its bounds."""

import asyncio
import time

from triptych_gateway.pipeline.concurrency import LIMIT, AdaptiveLimit


async def test_no_more_than_the_limit_are_in_flight() -> None:
    limit = AdaptiveLimit(start=2)
    inside, most = 0, 0
    full, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        nonlocal inside, most
        async with limit.slot():
            inside += 1
            most = max(most, inside)
            if inside == limit.limit:
                full.set()
            await go_on.wait()
            inside -= 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(5):
            tasks.create_task(work())
        await full.wait()
        go_on.set()

    assert (most, inside) == (2, 0)


async def test_it_grows_by_one_with_each_success_up_to_its_bound() -> None:
    limit = AdaptiveLimit(start=1)

    for _ in range(2 * LIMIT):
        await limit.succeeded(items=1000, began=time.monotonic() - 1)

    assert limit.limit == LIMIT


async def test_it_stays_when_photos_take_much_longer_than_at_best() -> None:
    limit = AdaptiveLimit(start=4)
    now = time.monotonic()
    await limit.succeeded(items=10, began=now - 10)

    await limit.succeeded(items=10, began=now - 100)

    assert limit.limit == 5


async def test_a_refusal_halves_it_but_one_shard_may_always_go() -> None:
    limit = AdaptiveLimit(start=9)
    seen = []

    for _ in range(5):
        limit.was_refused()
        seen.append(limit.limit)

    assert seen == [4, 2, 1, 1, 1]
    assert AdaptiveLimit(start=0).limit == 1


async def test_growth_lets_a_waiting_shard_in() -> None:
    limit = AdaptiveLimit(start=1)
    entered = asyncio.Event()

    async def wait_and_enter() -> None:
        async with limit.slot():
            entered.set()

    async with limit.slot():
        waiting = asyncio.create_task(wait_and_enter())
        await asyncio.sleep(0)
        assert not entered.is_set()
        await limit.succeeded(items=1, began=time.monotonic())
        async with asyncio.timeout(30):
            await entered.wait()
    await waiting


async def test_a_cancelled_shard_gives_its_place_back() -> None:
    limit = AdaptiveLimit(start=1)
    inside = asyncio.Event()

    async def hold() -> None:
        async with limit.slot():
            inside.set()
            await asyncio.Event().wait()

    holding = asyncio.create_task(hold())
    await inside.wait()
    holding.cancel()
    await asyncio.wait([holding])

    async with asyncio.timeout(30), limit.slot():
        pass
