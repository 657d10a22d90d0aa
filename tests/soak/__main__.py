"""python -m tests.soak: sessions come and go for some minutes; prints one JSON object last.

Exit status 1 where memory or open files have grown, a part has died, or something was logged as an error.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import time
from random import Random
from typing import Any

from tests.chaos.chaos_stack import PHOTOS, ChaosStack, chaos_stack
from tests.chaos.results import results_of
from tests.soak.load import Load
from tests.soak.samples import Samples
from tests.support.ending import end_tasks
from tests.support.log_errors import errors
from tests.support.running_triptych import Client

_FINISH_SECONDS = 300.0


def main() -> None:
    """Run, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="memory is told and not judged: nothing is warm by then")
    chosen = parser.parse_args()
    with chaos_stack(has_disks=False) as stack:
        figures, problems = asyncio.run(
            soak(stack, seconds=60 * chosen.minutes, random=Random(chosen.seed), judges_memory=not chosen.short)
        )
        found = errors(stack.triptych.data.logs)
    for line, times in found.most_common():
        print(f"{times} × {line}", file=sys.stderr)
    problems += [f"{sum(found.values())} errors were logged"] if found else []
    for problem in problems:
        print(problem, file=sys.stderr)
    print(json.dumps({"minutes": chosen.minutes, **figures, "errors": sum(found.values()), "problems": len(problems)}))
    if problems:
        sys.exit(1)


async def soak(
    stack: ChaosStack, *, seconds: float, random: Random, judges_memory: bool
) -> tuple[dict[str, Any], list[str]]:
    """Have load on a stack for so long; returns what was seen, and what was wrong."""
    began = time.monotonic()
    samples = Samples(stack=stack)
    async with contextlib.aclosing(Client(stack.triptych.url)) as client:
        load = Load(stack=stack, client=client, random=random)
        tasks = [asyncio.create_task(load.run()), asyncio.create_task(samples.run())]
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        await end_tasks(tasks)
        for task in done:
            task.result()
        sessions = await load.finish(seconds=_FINISH_SECONDS)
    problems = samples.problems(judges_memory=judges_memory)
    completed = [session for session in sessions if session["status"] == "completed"]
    for session in completed:
        results = await results_of(stack.triptych, session["id"])
        if results.lost_photos() or len(set(results.scans)) != PHOTOS:
            problems.append(f"session {session['id']} is completed and lacks results")
    problems += [f"session {one['id']} failed" for one in sessions if one["status"] == "failed"]
    figures = {
        "pressed": dict(sorted(load.pressed.items())),
        "refused": load.refused,
        "put_off": dict(load.put_off),
        "completed_in_the_end": len(completed),
        "parts": samples.figures(),
        "seconds": round(time.monotonic() - began, 1),
    }
    return figures, problems


if __name__ == "__main__":
    main()
