"""An embedder whose decoders do to themselves what a poisoned photo names, as a program for tests.

python -m tests.support.poisoned_embedder
"""

import sys
from functools import partial
from typing import Final

from tests.support import poisoned_decoder
from tests.support.small_device_embedder import load
from triptych_common.process import run_process
from triptych_embedder.main import EmbedderSettings, serve

PROGRAM: Final = (sys.executable, "-m", "tests.support.poisoned_embedder")

if __name__ == "__main__":
    command = (sys.executable, poisoned_decoder.__file__)
    run_process("embedder", EmbedderSettings, partial(serve, load=load, decoder_command=command))
