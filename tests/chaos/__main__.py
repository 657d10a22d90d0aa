"""python -m tests.chaos: run the cells that have not been run yet; prints a table, and one JSON object last.

Exit status 1 where a cell failed. How long anything took is told, and decides nothing.
"""

import argparse
import asyncio
import contextlib
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.cells import Cell, choose
from tests.chaos.chaos_stack import chaos_stack
from tests.chaos.outcomes import Outcome, State, summary, table
from tests.chaos.running import Stage, prepare, run


def main() -> None:
    """Run, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", choices=("all", "matrix", "schedules", "short"), default="all")
    parser.add_argument("--only", default="", help="only cells whose names hold this; they are run again")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", type=Path, default=Path(".chaos"), help="directory of what has been run")
    parser.add_argument("--fresh", action="store_true", help="begin anew")
    parser.add_argument("--disks", action="store_true", help="mount small disks, in a mount namespace of one's own")
    chosen = parser.parse_args()
    # The short form is begun anew each time: not what a longer run has come to.
    series = "short" if chosen.cells == "short" else "all"
    state = State(path=chosen.state / f"{series}-{chosen.seed}.jsonl")
    if chosen.fresh:
        state.path.unlink(missing_ok=True)
    cells = choose(chosen.seed, which=chosen.cells, only=chosen.only)
    if not chosen.disks:
        cells = [cell for cell in cells if all(blow.fault != "full" for blow in cell.blows)]
        print("Without small disks, for which it must be root's, no cell has a disk that is full.", file=sys.stderr)
    finished = {} if chosen.only else state.outcomes()
    run_all([cell for cell in cells if cell.name not in finished], state, has_disks=chosen.disks)
    print(table(cells, state))
    figures = summary(cells, state)
    print(json.dumps(figures))
    if figures["passed"] < figures["cells"]:
        sys.exit(1)


def run_all(cells: Sequence[Cell], state: State, *, has_disks: bool) -> None:
    """Run cells on one stack; each that fails is the last of its stack."""
    waiting = list(cells)
    while waiting:
        with contextlib.ExitStack() as exits:
            stage = asyncio.run(prepare(exits.enter_context(chaos_stack(has_disks=has_disks))))
            outcome = _until_failure(waiting, stage, state)
            if not outcome.passed:
                logs = state.logs(outcome.cell)
                shutil.copytree(stage.stack.triptych.data.logs, logs, dirs_exist_ok=True)
                print(f"what the parts wrote is in {logs}", file=sys.stderr)
            try:
                exits.close()
            except AssertionError as error:
                outcome.problems.append(f"the stack did not end in order: {error}")
            _note(outcome, state)


def _until_failure(waiting: list[Cell], stage: Stage, state: State) -> Outcome:
    """Run cells until one fails or all have been run; returns how the last ended, which is not noted yet."""
    while True:
        outcome = asyncio.run(run(waiting.pop(0), stage))
        if not (outcome.passed and waiting):
            return outcome
        _note(outcome, state)


def _note(outcome: Outcome, state: State) -> None:
    state.add(outcome)
    said = "passed" if outcome.passed else f"FAILED: {'; '.join(outcome.problems)}"
    print(f"{outcome.cell}: {said} ({outcome.seconds:.1f} s)", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
