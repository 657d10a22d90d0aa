"""Finds and ends processes that a killed stack has left behind; only the holder of the data directory's lock may."""

import signal
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.record import ProcessRecord
from triptych_gateway.cli.stack.waiting import wait_until

_POLL_SECONDS = 0.05
_SAME_MOMENT_SECONDS = 1.0


def processes_of(records: Iterable[ProcessRecord]) -> list[psutil.Process]:
    """Those of `records` that still run."""
    alive: list[psutil.Process] = []
    for record in records:
        try:
            process = psutil.Process(record.process_id)
            moved_seconds = abs(process.create_time() - record.created_at_seconds)
        except psutil.NoSuchProcess:
            continue
        if moved_seconds < _SAME_MOMENT_SECONDS and _is_alive(process):
            alive.append(process)
    return alive


def processes_working_in(directory: Path) -> list[psutil.Process]:
    """The processes whose working directory is `directory`, oldest first; only root sees those of other users."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == directory and _is_alive(process):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return sorted(found, key=lambda process: process.create_time())


async def end_processes(
    processes: list[psutil.Process], *, signals: tuple[tuple[signal.Signals, float], ...], say: Callable[[str], None]
) -> None:
    """Sends each of `signals` in turn, waiting the seconds beside it, until none of `processes` is left.

    Raises:
        StackError: some are alive after the last; names them.
    """
    for number, patience_seconds in signals:
        for process in processes:
            say(f"Ending {describe(process)}, which an earlier triptych left behind ({number.name}).")
            _send(process, number)
        processes = await wait_for_end(processes, deadline_seconds=patience_seconds)
        if not processes:
            return
    raise StackError(f"Left behind by an earlier triptych and not to be ended: {', '.join(map(describe, processes))}.")


async def wait_for_end(processes: list[psutil.Process], *, deadline_seconds: float) -> list[psutil.Process]:
    """Waits until all have ended or the time is over; returns those that have not."""
    await wait_until(
        lambda: not any(map(_is_alive, processes)), deadline_seconds=deadline_seconds, interval_seconds=_POLL_SECONDS
    )
    return [process for process in processes if _is_alive(process)]


def describe(process: psutil.Process) -> str:
    """`NAME (process ID)`."""
    try:
        return f"{process.name()} (process {process.pid})"
    except psutil.NoSuchProcess:
        return f"process {process.pid}"


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied as error:
        raise StackError(f"{describe(process)} of an earlier triptych belongs to another user.") from error
