"""`triptych forget`: a person, a photo or a session, with everything that was kept of it."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Final

import typer
from rich.text import Text

from triptych_gateway.cli.gateway_command import until_interrupted
from triptych_gateway.cli.options import DEFAULT_URL, GatewayUrl
from triptych_gateway.cli.rest.answers import Forgetting
from triptych_gateway.cli.rest.client import GatewayClient
from triptych_gateway.cli.rest.errors import RequestRefused
from triptych_gateway.cli.terminal import wording
from triptych_gateway.cli.terminal.consoles import message_console, output_console
from triptych_gateway.cli.terminal.text import printable

_POLL_SECONDS: Final = 0.3
AFTERWARDS: Final = (
    "What was removed stays readable in the database's and NATS's files until `triptych scrub` has run, and in backups"
    " that were made before."
)


class Kind(StrEnum):
    """What can be forgotten."""

    PERSON = "person"
    PHOTO = "photo"
    SESSION = "session"


def forget(
    kind: Annotated[Kind, typer.Argument(help="What it is.")],
    subject_id: Annotated[int, typer.Argument(metavar="ID", help="The person, photo or session.")],
    url: GatewayUrl = DEFAULT_URL,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    keep_out: Annotated[
        bool,
        typer.Option(
            "--keep-out/--no-keep-out",
            help="Of a person: keep the boxes of the faces, without vectors, so that a new search of these photos"
            " stores no face there.",
        ),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was removed as one JSON object.")] = False,
) -> None:
    """Remove a person, a photo or a session with everything that was kept of it. Files of photos are never touched."""
    work = _forget(url, kind, subject_id, yes=yes, keep_out=keep_out, as_json=as_json)
    raise typer.Exit(asyncio.run(until_interrupted(work)))


async def _forget(url: str, kind: Kind, subject_id: int, *, yes: bool, keep_out: bool, as_json: bool) -> int:
    async with GatewayClient(url) as client:
        going = await _description(client, kind, subject_id)
        if going is not None and not yes and not _is_wanted(going):
            message_console().print("Nothing was forgotten.")
            return 1
        forgetting = await client.forget(kind, subject_id, keep_out=keep_out)
        told = ""
        while forgetting.done_at is None:
            if forgetting.waits_for and forgetting.waits_for != told:
                told = forgetting.waits_for
                message_console().print(Text(printable(told)), soft_wrap=True)
            await asyncio.sleep(_POLL_SECONDS)
            forgetting = await client.forgetting(forgetting.id)
    console = output_console()
    if as_json:
        console.print(Text(json.dumps(forgetting.model_dump(mode="json"))), soft_wrap=True)
    else:
        console.print(_removed(forgetting), soft_wrap=True)
        message_console().print(AFTERWARDS, soft_wrap=True)
    return 0


async def _description(client: GatewayClient, kind: Kind, subject_id: int) -> str | None:
    """What will go, in a sentence; None where it is not there, perhaps since it is forgotten already."""
    try:
        return printable(await _DESCRIPTIONS[kind](client, subject_id))
    except RequestRefused as refusal:
        if refusal.status_code != HTTPStatus.NOT_FOUND:
            raise
        return None


async def _describe_person(client: GatewayClient, person_id: int) -> str:
    person = await client.person(person_id)
    return (
        f"Person {person.id} ({person.name or 'without a name'}): {wording.count(person.face_count)} faces in "
        f"{wording.count(person.asset_count)} photos, and what was said of them. The photos stay."
    )


async def _describe_photo(client: GatewayClient, asset_id: int) -> str:
    photo = await client.photo(asset_id)
    return (
        f"Photo {photo.id} ({photo.path}): its vector, {wording.count(len(photo.faces))} faces, and its place in "
        "sessions. The file stays, and a session over its directory takes it up again."
    )


async def _describe_session(client: GatewayClient, session_id: int) -> str:
    session = await client.session(session_id)
    return (
        f"Session {session.id} ({session.name}), {session.status}, over {session.root_path}: all of it, and those of "
        f"its {wording.count(session.total_images)} photos that no other session has. The files stay."
    )


_DESCRIPTIONS: Final[dict[Kind, Callable[[GatewayClient, int], Awaitable[str]]]] = {
    Kind.PERSON: _describe_person,
    Kind.PHOTO: _describe_photo,
    Kind.SESSION: _describe_session,
}


def _is_wanted(going: str) -> bool:
    """Whether a person at the terminal says so; where nobody can be asked, --yes is needed."""
    message_console().print(Text(going), soft_wrap=True)
    if not sys.stdin.isatty():
        message_console().print("Nobody can be asked: say --yes.")
        return False
    return typer.confirm("Forget it? This cannot be taken back.", err=True)


def _removed(forgetting: Forgetting) -> str:
    counts = {
        "session": forgetting.sessions,
        "photo": forgetting.photos,
        "person": forgetting.persons,
        "face": forgetting.faces,
    }
    said = ", ".join(
        f"{wording.count(number)} {name}{'' if number == 1 else 's'}" for name, number in counts.items() if number
    )
    return f"Forgotten: {said or 'nothing was left'}."
