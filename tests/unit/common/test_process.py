"""How a process ends whose part died."""

import json
import subprocess
import sys
from typing import Final

from triptych_common.errors import EXIT_BROKEN

_PROGRAM: Final = """
import asyncio, threading
from triptych_common.process import run_process
from triptych_common.settings import ProcessSettings

def die():
    secret = "a value that no log may show"
    raise RuntimeError("the device is gone")

async def run(settings):
    threading.Thread(target=die, name="model 0").start()
    await asyncio.Event().wait()

run_process("test", ProcessSettings, run)
"""


def test_a_process_ends_with_a_thread_that_died_and_says_which_and_why() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env={"TRIPTYCH_LOG_FORMAT": "json"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == EXIT_BROKEN
    (line,) = [json.loads(line) for line in ended.stderr.splitlines()]
    assert (line["level"], line["thread"]) == ("critical", "model 0")
    assert "RuntimeError: the device is gone" in line["exception"]
    assert "a value that no log may show" not in line["exception"].replace(
        'secret = "a value that no log may show"', ""
    )
