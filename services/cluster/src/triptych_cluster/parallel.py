"""Independent parts of one piece of work, on all cores: NumPy and faiss let go of the interpreter's lock."""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Final, TypeVar

import faiss
from threadpoolctl import ThreadpoolController

MOST_THREADS: Final = 8
"""More would want more memory (`memory.peak_bytes` counts it for each), and little is left to divide."""

PartT = TypeVar("PartT")


def thread_count() -> int:
    """How many threads work: one for each core that this process may use, 8 at most."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, MOST_THREADS)


def in_parallel(
    work: Callable[[PartT], object], parts: Sequence[PartT], *, on_part: Callable[[int], None] = lambda done: None
) -> None:
    """Do the work of each part, in `thread_count` threads.

    A core that shares no product with others is busy to the end, so BLAS and OpenMP have one thread in each of ours.

    Args:
        work: of one part; must not depend on what that of another does.
        parts: of similar size; the first are begun first.
        on_part: called in the caller's thread before each part is waited for, with how many are done; may raise to stop
            the work, which then ends with the parts that are under way.
    """
    executor = ThreadPoolExecutor(thread_count(), "cluster-part", initializer=_one_thread_in_each)
    try:
        with one_blas_thread():
            for done, future in enumerate([executor.submit(work, part) for part in parts]):
                on_part(done)
                future.result()
    finally:
        executor.shutdown(cancel_futures=True)


def one_blas_thread() -> AbstractContextManager[object]:
    """BLAS has one thread for each product until the context ends, and then as many as before."""
    limited: AbstractContextManager[object] = _libraries().limit(limits=1, user_api="blas")
    return limited


@functools.cache
def _libraries() -> ThreadpoolController:
    # All are loaded by the time that anything is worked on. To find them takes longer than to group a few faces.
    return ThreadpoolController()


def _one_thread_in_each() -> None:
    # OpenMP's number of threads belongs to the thread that sets it.
    faiss.omp_set_num_threads(1)
