"""Memory that is freed and taken again costs no pages from the kernel."""

import platform
import subprocess
import sys

import pytest

ROUNDS = """
import resource, sys
import numpy as np
from triptych_cluster.freed_memory import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()

def messages_and_temporaries():
    messages = [b"x" * 2**21 for _ in range(8)]
    return len(messages) + len(np.ones(3 * 2**20, np.float32))

def new_pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

messages_and_temporaries()
before = new_pages()
for _ in range(20):
    messages_and_temporaries()
print(new_pages() - before)
"""


def _new_pages(how: str) -> int:
    command = [sys.executable, "-c", ROUNDS, how]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not the GNU one")
def test_what_was_freed_is_taken_again_without_new_pages() -> None:
    assert _new_pages("given back") > 20_000
    assert _new_pages("kept") < 1000
