"""Runs one cell: a session, what is done to those who run it, and whether all is as it must be in the end."""

import asyncio
import contextlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import httpx

from tests.chaos.cells import PARTS, Cell
from tests.chaos.chaos_stack import PHOTOS, SHARD_PHOTOS, ChaosStack
from tests.chaos.ledger import Ledger
from tests.chaos.leftovers import Leftovers, count_consumers
from tests.chaos.outcomes import Outcome
from tests.chaos.results import Results, results_of
from tests.chaos.strikes import Strikes
from tests.support.ending import end_tasks
from tests.support.file_opens import FileOpens
from tests.support.running_triptych import Client
from tests.support.session_readers import Readers, watched
from tests.support.stored_results import until_aggregated
from triptych_gateway.cli.plain_http import NO_AUTHORITIES

DEADLINE_SECONDS: Final = 150.0
"""Within which a session ends, and everything is whole again, once the faults are over."""
_INTERVAL_SECONDS: Final = 0.1
_UNDISTURBED: Final = Cell(name="undisturbed", blows=())


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stack, and what all its cells are compared with."""

    stack: ChaosStack
    undisturbed: Results
    consumers: int


async def prepare(stack: ChaosStack) -> Stage:
    """Run an undisturbed session. Raises RuntimeError where even that goes wrong."""
    outcome = Outcome(cell=_UNDISTURBED.name, did="")
    session_id = await _disturb(_UNDISTURBED, stack, outcome)
    results = await results_of(stack.triptych, session_id)
    if outcome.problems or results.lost_photos() or results.repeated_photos() or not results.groups:
        raise RuntimeError(f"the undisturbed session was disturbed: {outcome}")
    return Stage(stack=stack, undisturbed=results, consumers=await count_consumers(stack))


async def run(cell: Cell, stage: Stage) -> Outcome:
    """Run a cell; whatever goes wrong is in its outcome."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    outcome = Outcome(cell=cell.name, did=", ".join(map(str, cell.blows)))
    leftovers = Leftovers(stack=stage.stack, consumers=stage.consumers)
    leftovers.note_processes()
    try:
        session_id = await _disturb(cell, stage.stack, outcome, leftovers)
        _compare(await results_of(stage.stack.triptych, session_id), stage.undisturbed, outcome)
        outcome.problems += [f"left behind: {what}" for what in await leftovers.find(session_id)]
    except Exception as error:  # noqa: BLE001 - it is told, and the cell has failed
        outcome.problems.append(" | ".join(traceback.format_exception_only(error)).strip())
    outcome.seconds = round(loop.time() - began, 1)
    return outcome


async def _disturb(cell: Cell, stack: ChaosStack, outcome: Outcome, leftovers: Leftovers | None = None) -> int:
    """Run a session to its end, with the cell's faults; returns its id."""
    directory = stack.copy(f"{cell.name.replace(' ', '-')}-{len(list(stack.library.parent.iterdir()))}")
    with FileOpens(directory) as opens:
        async with contextlib.aclosing(Client(stack.triptych.url)) as client:
            session_id = await client.begin(directory, shard_photos=SHARD_PHOTOS)
        ledger = Ledger(stack=stack, session_id=session_id, opens=opens)
        keeping = asyncio.create_task(ledger.keep())
        try:
            async with watched(stack.triptych.url, session_id) as readers:
                strikes = Strikes(stack=stack, readers=readers, problems=outcome.problems)
                await _strike_all(cell, strikes, outcome, leftovers)
                await until_aggregated(stack.triptych, session_id, photos=PHOTOS)
        finally:
            failed = keeping.done()
            await end_tasks([keeping])
            _judge_readers(readers, outcome)
        if failed:
            keeping.result()
        await ledger.note()
        outcome.computed_again = ledger.computed_again()
        outcome.computed_in_vain = ledger.computed_in_vain()
    if outcome.computed_in_vain:
        outcome.problems.append(f"{outcome.computed_in_vain} photos were computed although their results were stored")
    return session_id


async def _strike_all(cell: Cell, strikes: Strikes, outcome: Outcome, leftovers: Leftovers | None) -> None:
    """Have all faults, and wait until the session has ended and every part answers."""
    readers = strikes.readers
    if any(blow.phase == "clustering" for blow in cell.blows):
        strikes.hold_clusterer()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(DEADLINE_SECONDS + sum(blow.seconds for blow in cell.blows)):
        async with asyncio.TaskGroup() as group:
            for blow in cell.blows:
                group.create_task(strikes.strike(blow, must_hit=len(cell.blows) == 1))
        if leftovers is not None:
            leftovers.note_processes()
        before, answers = readers.work() if readers.polling.last else (), len(readers.polling.percentages)
        await _until(lambda: _went_on(readers, before, answers))
        await _until_whole(strikes.stack)
        if strikes.ended_at:
            outcome.recovery_seconds = round(loop.time() - strikes.ended_at, 2)
        await _until(lambda: readers.has_ended)
    if readers.polling.last["overallStatus"] != "completed":
        outcome.problems.append(f"the session ended as {readers.polling.last['overallStatus']}")


def _went_on(readers: Readers, before: tuple[int, ...], answers: int) -> bool:
    """Whether an answer of since then says that more is done, or all."""
    if len(readers.polling.percentages) == answers:
        return False
    return readers.has_ended or readers.work() != before


async def _until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, for as long as the caller's deadline lets it."""
    while not holds():  # noqa: ASYNC110 - readers only note what they see
        await asyncio.sleep(_INTERVAL_SECONDS)


async def _until_whole(stack: ChaosStack) -> None:
    while not await is_whole(stack):  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(_INTERVAL_SECONDS)


async def is_whole(stack: ChaosStack) -> bool:
    """Whether every part runs, and the gateway reaches those it calls."""
    if not all(stack.processes(part) for part in PARTS):
        return False
    try:
        async with httpx.AsyncClient(verify=NO_AUTHORITIES, trust_env=False, timeout=5) as client:
            health = (await client.get(f"{stack.triptych.url}/health")).raise_for_status().json()
    except httpx.HTTPError:
        return False
    return all(service["status"] == "ok" for service in health["services"].values())


def _judge_readers(readers: Readers, outcome: Outcome) -> None:
    outcome.outages = sum(reader.outages for reader in readers.all())
    outcome.backward_moves = sum(reader.backward_moves() for reader in readers.all())
    if outcome.backward_moves:
        outcome.problems.append(f"the percentage or the status went back {outcome.backward_moves} times")
    if early := sum(reader.early_ends() for reader in readers.all()):
        outcome.problems.append(f"{early} answers had 100 % without an end, or an end without")
    if not all(reader.percentages for reader in readers.all()):
        outcome.problems.append("a reader saw nothing")


def _compare(results: Results, undisturbed: Results, outcome: Outcome) -> None:
    outcome.lost_photos = results.lost_photos()
    outcome.repeated_photos = results.repeated_photos()
    outcome.differing = results.differences(undisturbed)
    if outcome.lost_photos:
        outcome.problems.append(f"{outcome.lost_photos} photos were lost")
    if outcome.repeated_photos:
        outcome.problems.append(f"{outcome.repeated_photos} photos have more than one result")
    if outcome.differing:
        outcome.problems.append(f"other results than undisturbed: {', '.join(outcome.differing)}")
