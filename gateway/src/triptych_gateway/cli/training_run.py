"""One `triptych train` from the first look for a gateway to the report at the end."""

import asyncio
import shlex
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from enum import IntEnum
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.text import Text

from triptych_gateway.cli.interruption import Interruption
from triptych_gateway.cli.places import Place, may_be_there
from triptych_gateway.cli.rest.answers import Session, Snapshot
from triptych_gateway.cli.rest.client import GatewayClient
from triptych_gateway.cli.rest.errors import GatewayError, GatewayUnreachable, NoGateway, RequestRefused
from triptych_gateway.cli.rest.following import ConnectionLost, ConnectionRestored, FollowingOptions, follow, patiently
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.terminal.consoles import message_console, output_console
from triptych_gateway.cli.terminal.progress_view import progress_view
from triptych_gateway.cli.terminal.run_report import gather_report, session_page
from triptych_gateway.cli.terminal.text import printable
from triptych_gateway.cli.terminal.wording import session_title


class ExitStatus(IntEnum):
    """What the commands exit with; 130 and 143 come from signals."""

    COMPLETED = 0
    FAILED = 1
    """The session failed or was cancelled, or the gateway could not be asked."""
    BAD_REQUEST = 2
    """The directory or an option is wrong."""


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What is to be trained on, and how it is told."""

    directory: Place
    """Absolute; on the gateway's machine."""
    name: str
    url: str
    may_start_stack: bool
    """Whether services are started for this run where no gateway answers at `url`."""
    data_directory: Path | None = None
    """Where services started for this run keep their data; their own default where None."""
    as_json: bool = False
    keep_serving: bool = False
    following: FollowingOptions = field(default_factory=FollowingOptions)


class RunningStack(Protocol):
    """The services of this command, all ready."""

    @property
    def failure(self) -> StackError | None:
        """Why the services had to be given up; None when they were not."""

    async def wait(self) -> int:
        """Waits until the services are to be stopped: 0, or 1 where they were given up."""


class TrainingRun:
    """Trains once. `open_stack` starts services of its own, for the case that no gateway answers."""

    def __init__(
        self, request: TrainRequest, *, open_stack: Callable[[], AbstractAsyncContextManager[RunningStack]]
    ) -> None:
        self._request = request
        self._open_stack = open_stack
        self._display: Console = message_console() if request.as_json else output_console()
        self._errors = message_console()
        self._session: Session | None = None
        self._has_own_stack = False
        self._status: int | None = None

    async def run(self) -> int:
        """Trains to the end, or until a signal; the exit status of the command. What goes wrong is told, not raised."""
        interruption = Interruption()
        try:
            with interruption:
                return await self._run(interruption)
        except asyncio.CancelledError:
            if interruption.exit_status is None:
                raise
            return self._interrupted(interruption.exit_status)
        except RequestRefused as refusal:
            return self._refused(refusal)
        except (GatewayError, StackError) as error:
            # The stack quotes the last lines of a process that died.
            for line in str(error).splitlines():
                self._complain(printable(line))
            return ExitStatus.FAILED

    async def _run(self, interruption: Interruption) -> int:
        request = self._request
        async with GatewayClient(request.url) as client:
            if await self._gateway_answers(client):
                if request.data_directory is not None:
                    self._say(f"a gateway answers at {request.url} already: it uses its own data, not --data-dir")
                status = await self._train(client)
                if request.keep_serving:
                    self._say(f"the gateway at {request.url} was running before and goes on serving")
                return status
            if not may_be_there(request.directory):
                self._complain(f"{printable(str(request.directory))} is not a directory")
                return ExitStatus.BAD_REQUEST
            self._say(f"no gateway answers at {request.url}: starting services for this command")
            self._has_own_stack = True
            async with self._open_stack() as stack:
                self._status = await _while_it_runs(stack, self._train(client))
                if request.keep_serving:
                    self._say(f"serving {request.url} until Ctrl-C")
                    if await stack.wait():
                        raise _reason(stack)
                interruption.settle()
        return self._status

    async def _gateway_answers(self, client: GatewayClient) -> bool:
        """Whether a gateway is there; raises `NoGateway` where none is and none may be started."""
        try:
            await client.health()
        except NoGateway:
            if self._request.may_start_stack:
                return False
            raise
        return True

    async def _train(self, client: GatewayClient) -> int:
        request = self._request
        session = await client.create_session(name=request.name, root_path=str(request.directory))
        self._session = session
        await patiently(lambda: client.start(session.id), options=request.following, tell=self._tell)
        last = await self._follow(client, session)
        report = await gather_report(client, last, options=request.following, tell=self._tell)
        report.print(self._display)
        if request.as_json:
            output_console().print(Text(report.as_json()), soft_wrap=True)
        return ExitStatus.COMPLETED if last.overall_status == "completed" else ExitStatus.FAILED

    async def _follow(self, client: GatewayClient, session: Session) -> Snapshot:
        last: Snapshot | None = None
        with progress_view(self._display, title=session_title(session)) as view:
            async with aclosing(follow(client, session.id, options=self._request.following)) as updates:
                async for update in updates:
                    view.show(update)
                    if isinstance(update, Snapshot):
                        last = update
        if last is None:
            raise GatewayUnreachable(f"the gateway at {client.base_url} told nothing of session {session.id}")
        return last

    def _interrupted(self, exit_status: int) -> int:
        """Says what becomes of the session after a signal."""
        if self._status is not None:
            self._say("stopped")
            return self._status
        if self._session is None:
            self._say("stopped before a session was created")
        elif self._has_own_stack:
            self._say(
                f"stopped; session {self._session.id} is kept, and the next `triptych up` goes on with what is left: "
                f"{self._resuming_command()}"
            )
        else:
            page = session_page(self._request.url, self._session.id)
            self._say(
                f"session {self._session.id} goes on in the gateway: {page}, "
                f"or `triptych status {self._session.id} --watch`"
            )
        return exit_status

    def _resuming_command(self) -> str:
        """How to start services that see the same photos and the same data."""
        words = ["triptych", "up", "--media-root", str(self._request.directory)]
        if self._request.data_directory is not None:
            words += ["--data-dir", str(self._request.data_directory)]
        return printable(shlex.join(words))

    def _refused(self, refusal: RequestRefused) -> int:
        """Says what the gateway refused, and what can be done about a path."""
        self._complain(printable(str(refusal)))
        if refusal.code == "path_not_allowed":
            directory = printable(str(self._request.directory))
            if may_be_there(self._request.directory):
                self._complain(
                    f"add it to the gateway's media roots: `triptych up --media-root {directory}`, "
                    "or TRIPTYCH_MEDIA_ROOTS in its environment; then start it anew"
                )
            else:
                self._complain(f"{directory} is not a directory on this machine either: is it spelt right?")
        of_the_request = refusal.status_code in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}
        return ExitStatus.BAD_REQUEST if of_the_request else ExitStatus.FAILED

    def _tell(self, news: ConnectionLost | ConnectionRestored) -> None:
        self._say(news.sentence())

    def _say(self, sentence: str) -> None:
        self._display.print(Text(sentence), soft_wrap=True)

    def _complain(self, sentence: str) -> None:
        self._errors.print(Text(sentence, style="red"), soft_wrap=True)


async def _while_it_runs(stack: RunningStack, work: Coroutine[Any, Any, int]) -> int:
    """The result of `work`; its status where the stack stops by itself before, which ends `work`."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stack.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise _reason(stack)
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


def _reason(stack: RunningStack) -> StackError:
    return stack.failure or StackError("The services were stopped before the session ended.")
