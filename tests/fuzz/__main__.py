"""python -m tests.fuzz: hostile files at a stack, bytes at parsers; prints a table, and one JSON object last.

Exit status 1 where a cell failed. How long anything took is told, and decides nothing.
"""

import argparse
import asyncio
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Final

from tests.fuzz.cells import summary
from tests.fuzz.fuzz_stack import fuzz_stack
from tests.fuzz.pipeline import Pipeline
from tests.fuzz.thrown import throw

SHORT_SHARE: Final = 0.25
"""Of the files that differ in their bytes only."""
SECONDS: Final = 20.0
"""For which bytes are thrown at each parser."""
SHORT_SECONDS: Final = 1.0
_LOGS: Final = Path(".fuzz/logs")


def main() -> None:
    """Run, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="fewer files, and less of everything")
    chosen = parser.parse_args()
    began = time.monotonic()
    with fuzz_stack() as stack:
        pipeline = Pipeline(stack, seed=chosen.seed, share=SHORT_SHARE if chosen.short else 1.0)
        asyncio.run(pipeline.run())
        stack.triptych.process.terminate()
        stack.triptych.process.wait(timeout=60)
        pipeline.logged()
        if any(cell.problems for cell in pipeline.cells):
            shutil.copytree(stack.triptych.data.logs, _LOGS, dirs_exist_ok=True)
            print(f"what the parts wrote is in {_LOGS}", file=sys.stderr)
    cells = [*pipeline.cells, *throw(seed=chosen.seed, seconds=SHORT_SECONDS if chosen.short else SECONDS)]
    for cell in cells:
        print(cell.told())
    figures = {"seed": chosen.seed, **summary(cells, pipeline.figures)}
    print(json.dumps(figures | {"seconds": round(time.monotonic() - began, 1)}))
    if figures["passed"] < figures["cells"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
