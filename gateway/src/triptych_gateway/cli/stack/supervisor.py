"""Keeps one child process running: readiness, restarts with backoff, and an orderly stop."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.log_sink import LogSink
from triptych_gateway.cli.stack.process import ManagedProcess, ProcessCommand, describe_exit
from triptych_gateway.cli.stack.waiting import wait_until_answered

EXIT_CONFIGURATION = 78
"""EX_CONFIG of sysexits.h: settings are wrong or weights are missing; another first start would end the same."""

# A process that dies this often before it has ever answered will not come up by itself.
_FIRST_STARTS = 5
_READY_POLL_SECONDS = 0.1
_TASK_END_SECONDS = 5.0
_QUOTED_LINES = 5


@dataclass(kw_only=True)
class Backoff:
    """How long to wait before the next start: doubling while a process keeps dying, short again after a good run."""

    first_seconds: float = 0.5
    longest_seconds: float = 10.0
    reset_after_seconds: float = 60.0
    """A process that has run this long is taken to have been healthy."""
    _next_seconds: float = field(default=0.0, init=False)

    def delay_seconds(self, *, ran_for_seconds: float) -> float:
        """The wait after a run that lasted `ran_for_seconds`."""
        if ran_for_seconds >= self.reset_after_seconds or self._next_seconds == 0.0:
            self._next_seconds = self.first_seconds
        delay = self._next_seconds
        self._next_seconds = min(delay * 2, self.longest_seconds)
        return delay


@dataclass(frozen=True, kw_only=True)
class ChildPlan:
    """A process that is to be kept running."""

    command: ProcessCommand
    is_ready: Callable[[], Awaitable[bool]]
    """Asked about ten times a second after each start, until it says yes. May raise StackError: hopeless."""
    prepare: Callable[[], Awaitable[None]] | None = None
    """Done before each start. May raise StackError: hopeless."""
    ready_deadline_seconds: float = 120.0
    why_restart: Callable[[], Awaitable[str | None]] | None = None
    """Asked every `look_seconds` while it runs: why only another start can help it, as a sentence without an end; None
    where it needs none."""
    look_seconds: float = 5.0


class Child:
    """One supervised process."""

    def __init__(
        self,
        plan: ChildPlan,
        sink: LogSink,
        *,
        on_started: Callable[["Child"], None],
        on_hopeless: Callable[[StackError], None],
        backoff: Backoff | None = None,
    ) -> None:
        """`on_started` is called after each start; `on_hopeless` when this child is given up, for good."""
        self.plan = plan
        self._sink = sink
        self._on_started = on_started
        self._on_hopeless = on_hopeless
        self._backoff = backoff or Backoff()
        self._ready = asyncio.Event()
        self._was_ready = False
        self._deaths = 0
        self._stopping = asyncio.Event()
        self._restart_wanted = False
        self._process: ManagedProcess | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """The name of its command."""
        return self.plan.command.name

    @property
    def process_id(self) -> int | None:
        """The process id of the present run; None between runs."""
        return self._process.process_id if self._process is not None and self._running else None

    @property
    def _running(self) -> bool:
        return self._process is not None and self._process.exit_status is None

    def start_in(self, group: asyncio.TaskGroup) -> None:
        """Begins to keep it running, in a task of `group`."""
        self._task = group.create_task(self._keep_running(), name=f"keep {self.name} running")

    async def wait_until_ready(self) -> None:
        """Returns when the present run answers. Has no end of its own: a child given up tells `on_hopeless`."""
        await self._ready.wait()

    async def restart(self) -> None:
        """Stops the present run; the next begins at once."""
        if self._process is not None and self._running:
            self._restart_wanted = True
            await self._process.stop()

    async def stop(self) -> None:
        """Ends it for good; says so in one line if it ran.

        Raises:
            TimeoutError: it cannot be killed.
        """
        self._stopping.set()
        await self._stop_process()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_TASK_END_SECONDS)
        # Its task may have been in the middle of a start.
        await self._stop_process()

    def kill(self) -> None:
        """Ends it at once and for good; `stop` must still be awaited."""
        self._stopping.set()
        if self._process is not None and self._running:
            self._process.kill()

    async def _stop_process(self) -> None:
        if self._process is not None and self._running:
            status = await self._process.stop()
            self._sink.say(f"{self.name} stopped ({describe_exit(status)}).")

    async def _keep_running(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            try:
                if self.plan.prepare is not None:
                    await self.plan.prepare()
            except StackError as error:
                self._on_hopeless(error)
                return
            started_at = loop.time()
            self._process = await ManagedProcess.start(self.plan.command, self._sink)
            self._on_started(self)
            status = await self._watch(self._process)
            self._ready.clear()
            if self._stopping.is_set():
                return
            if self._restart_wanted:
                self._restart_wanted = False
                continue
            # With these settings it has run before: what it lacks now (a database that is away) may come back.
            if status == EXIT_CONFIGURATION and not self._was_ready:
                self._on_hopeless(StackError(f"{self.name} cannot run as it is set up: {self._last_words()}"))
                return
            self._deaths += 1
            if not self._was_ready and self._deaths >= _FIRST_STARTS:
                self._on_hopeless(
                    StackError(f"{self.name} died {self._deaths} times while starting. Last: {self._last_words()}")
                )
                return
            await self._pause(status, ran_for_seconds=loop.time() - started_at)

    async def _watch(self, process: ManagedProcess) -> int:
        async with asyncio.TaskGroup() as group:
            attendance = group.create_task(self._attend(process))
            status = await process.wait()
            attendance.cancel()
        return status

    async def _attend(self, process: ManagedProcess) -> None:
        await self._become_ready(process)
        if self.plan.why_restart is None:
            return
        while (reason := await self.plan.why_restart()) is None:  # noqa: ASYNC110 - it must be asked
            await asyncio.sleep(self.plan.look_seconds)
        self._sink.say(f"{reason}: starting it again.")
        await self.restart()

    async def _become_ready(self, process: ManagedProcess) -> None:
        started_at = asyncio.get_running_loop().time()
        try:
            answered = await wait_until_answered(
                self.plan.is_ready,
                deadline_seconds=self.plan.ready_deadline_seconds,
                interval_seconds=_READY_POLL_SECONDS,
            )
        except StackError as error:
            self._on_hopeless(error)
            return
        if not answered:
            await self._give_up_waiting(process)
            return
        waited_seconds = asyncio.get_running_loop().time() - started_at
        self._sink.say(f"{self.name} {'answers again' if self._was_ready else 'is ready'} ({waited_seconds:.1f} s).")
        self._was_ready = True
        self._ready.set()

    async def _give_up_waiting(self, process: ManagedProcess) -> None:
        sentence = f"{self.name} did not answer within {self.plan.ready_deadline_seconds:g} s of its start"
        if not self._was_ready:
            self._on_hopeless(StackError(f"{sentence}. Its last words: {self._last_words()}"))
            return
        self._sink.say(f"{sentence}: starting it again.")
        await process.stop()

    async def _pause(self, status: int, *, ran_for_seconds: float) -> None:
        delay_seconds = self._backoff.delay_seconds(ran_for_seconds=ran_for_seconds)
        self._sink.say(f"{self.name} died ({describe_exit(status)}): starting it again in {delay_seconds:g} s.")
        await asyncio.sleep(delay_seconds)

    def _last_words(self) -> str:
        lines = self._process.recent_lines[-_QUOTED_LINES:] if self._process is not None else ()
        return "\n".join(lines) or "it wrote nothing"
