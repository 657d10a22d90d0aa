"""`triptych pause`, `resume`, `cancel` and `restart`: the buttons of a session."""

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from triptych_gateway.cli.gateway_command import until_interrupted
from triptych_gateway.cli.options import DEFAULT_URL, GatewayUrl
from triptych_gateway.cli.rest.client import GatewayClient
from triptych_gateway.cli.terminal.consoles import output_console
from triptych_gateway.cli.terminal.text import printable

SessionId = Annotated[int, typer.Argument(metavar="ID", help="The session.")]


class Phase(StrEnum):
    """A phase, as the endpoint that restarts it calls it."""

    TRAINING = "training"
    FACES = "faces"
    CLUSTERING = "clustering"


def pause(session_id: SessionId, url: GatewayUrl = DEFAULT_URL) -> None:
    """Halt a session; nothing is lost."""
    _press(url, session_id, "pause")


def resume(session_id: SessionId, url: GatewayUrl = DEFAULT_URL) -> None:
    """Let a paused session go on where it stood."""
    _press(url, session_id, "resume")


def cancel(session_id: SessionId, url: GatewayUrl = DEFAULT_URL) -> None:
    """End a session and keep what is done."""
    _press(url, session_id, "cancel")


def restart(
    session_id: SessionId,
    phase: Annotated[Phase, typer.Argument(help="The phase to do again; those after it follow.")],
    url: GatewayUrl = DEFAULT_URL,
    everything: Annotated[
        bool, typer.Option("--all", help="Of training: all photos again, not only those that failed.")
    ] = False,
    new_persons: Annotated[
        bool, typer.Option("--new-persons", help="Of faces: make the persons anew; their names and corrections go.")
    ] = False,
) -> None:
    """Do a phase of a finished session again; what it found before is shown until then."""
    query: dict[str, bool] = {}
    if phase is Phase.TRAINING:
        query["failed_only"] = not everything
    elif everything:
        raise typer.BadParameter("--all goes with training: the other phases always do everything again.")
    if phase is Phase.FACES:
        query["delete_persons"] = new_persons
    elif new_persons:
        raise typer.BadParameter("--new-persons goes with faces.")
    _press(url, session_id, f"restart-{phase}", query)


def _press(url: str, session_id: int, button: str, query: dict[str, bool] | None = None) -> None:
    raise typer.Exit(asyncio.run(until_interrupted(_press_and_tell(url, session_id, button, query or {}))))


async def _press_and_tell(url: str, session_id: int, button: str, query: dict[str, bool]) -> int:
    async with GatewayClient(url) as client:
        state = await client.press(session_id, button, query=query)
    output_console().print(printable(state.message or f"Session {session_id} is {state.status}."), soft_wrap=True)
    return 0
