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
        async with limit.slot(1):
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
        limit.succeeded(items=1000, began=time.monotonic() - 1)

    assert limit.limit == LIMIT


async def test_it_follows_the_replicas_at_once_and_what_they_refused_is_not_forgotten() -> None:
    limit = AdaptiveLimit(start=1)
    seen = []

    for replicas in (1, 3):
        limit.follow(replicas=replicas)
        seen.append(limit.limit)
    limit.was_refused()
    for replicas in (3, 2, 3, 1000):
        limit.follow(replicas=replicas)
        seen.append(limit.limit)

    assert seen == [2, 6, 3, 2, 6, LIMIT]


async def test_shards_that_wait_have_a_place_as_soon_as_there_is_another_replica() -> None:
    limit = AdaptiveLimit(start=1)
    entered = asyncio.Event()

    async def work() -> None:
        async with limit.slot(1):
            entered.set()

    async with limit.slot(1), asyncio.TaskGroup() as tasks:
        tasks.create_task(work())
        await asyncio.sleep(0)
        assert not entered.is_set()
        limit.follow(replicas=1)
        async with asyncio.timeout(60):
            await entered.wait()


async def test_it_stays_when_photos_take_much_longer_than_at_best() -> None:
    limit = AdaptiveLimit(start=4)
    now = time.monotonic()
    limit.succeeded(items=10, began=now - 10)

    limit.succeeded(items=10, began=now - 100)

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
        async with limit.slot(1):
            entered.set()

    async with limit.slot(1):
        waiting = asyncio.create_task(wait_and_enter())
        await asyncio.sleep(0)
        assert not entered.is_set()
        limit.succeeded(items=1, began=time.monotonic())
        async with asyncio.timeout(30):
            await entered.wait()
    await waiting


async def test_a_cancelled_shard_gives_its_place_back() -> None:
    limit = AdaptiveLimit(start=1)
    inside = asyncio.Event()

    async def hold() -> None:
        async with limit.slot(1):
            inside.set()
            await asyncio.Event().wait()

    holding = asyncio.create_task(hold())
    await inside.wait()
    holding.cancel()
    await asyncio.wait([holding])

    async with asyncio.timeout(30), limit.slot(1):
        pass


async def test_shards_that_are_cancelled_together_end_and_leave_every_place_free() -> None:
    limit = AdaptiveLimit(start=2)
    inside = asyncio.Event()

    async def hold() -> None:
        async with limit.slot(1):
            inside.set()
            await asyncio.Event().wait()

    shards = [asyncio.create_task(hold()) for _ in range(5)]
    await inside.wait()
    for shard in shards:
        shard.cancel()
    await asyncio.wait(shards)

    assert all(shard.cancelled() for shard in shards)
    assert limit.in_flight == 0
    async with asyncio.timeout(30), limit.slot(1), limit.slot(1):
        assert limit.in_flight == 2


async def test_a_free_place_goes_to_the_session_with_the_fewest_in_flight() -> None:
    limit, huge, small = AdaptiveLimit(start=2), 1, 2
    order: list[int] = []
    entered = asyncio.Queue[int]()
    go_on = asyncio.Semaphore(0)

    async def work(session_id: int) -> None:
        async with limit.slot(session_id):
            entered.put_nowait(session_id)
            await go_on.acquire()

    async with asyncio.TaskGroup() as tasks:
        for session_id in (huge,) * 20 + (small,) * 3:
            tasks.create_task(work(session_id))
        for _ in range(23):
            order.append(await entered.get())
            if len(order) >= limit.limit:
                go_on.release()
        go_on.release()

    assert order[:7] == [huge, huge, small, huge, small, huge, small]


async def test_a_session_that_gives_up_waiting_takes_no_place() -> None:
    limit = AdaptiveLimit(start=1)
    async with limit.slot(1):
        waiting = asyncio.create_task(limit.slot(2).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])

    async with asyncio.timeout(30), limit.slot(3):
        pass


async def test_a_place_given_at_the_moment_of_giving_up_goes_on_to_the_next() -> None:
    limit = AdaptiveLimit(start=1)
    holding = limit.slot(1)
    await holding.__aenter__()
    waiting = asyncio.create_task(limit.slot(2).__aenter__())
    await asyncio.sleep(0)
    await holding.__aexit__(None, None, None)
    waiting.cancel()
    await asyncio.wait([waiting])

    async with asyncio.timeout(30), limit.slot(3):
        pass
