"""`triptych people`: the groups of faces that a session found, with examples."""

import asyncio
import json
from pathlib import PurePath
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from triptych_gateway.cli.gateway_command import until_interrupted
from triptych_gateway.cli.options import DEFAULT_URL, GatewayUrl
from triptych_gateway.cli.rest.answers import Group, Session
from triptych_gateway.cli.rest.client import GatewayClient
from triptych_gateway.cli.terminal import wording
from triptych_gateway.cli.terminal.consoles import output_console
from triptych_gateway.cli.terminal.text import printable

_EXAMPLES = 3


def people(
    session_id: Annotated[int, typer.Argument(metavar="ID", help="The session.")],
    url: GatewayUrl = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="Print all groups as one JSON object.")] = False,
) -> None:
    """Show the groups of faces in a session's photos, the largest first."""
    raise typer.Exit(asyncio.run(until_interrupted(show_people(url, session_id, as_json=as_json))))


async def show_people(url: str, session_id: int, *, as_json: bool) -> int:
    """Prints a session's groups; cohesion is 0..1, larger is tighter."""
    async with GatewayClient(url) as client:
        session = await client.session(session_id)
        groups = sorted(await client.all_groups(session_id), key=lambda group: (-group.face_count, group.id))
    console = output_console()
    if as_json:
        console.print(Text(people_json(session_id, groups)), soft_wrap=True)
    elif groups:
        console.print(people_table(session, groups))
    else:
        console.print(f"Session {session_id} has no groups of faces yet.", soft_wrap=True)
    return 0


def people_json(session_id: int, groups: list[Group]) -> str:
    """One line of ASCII JSON; bytes of a path that are not UTF-8 are lone surrogates (PEP 383)."""
    return json.dumps(
        {
            "session_id": session_id,
            "groups": [
                {
                    "id": group.id,
                    "faces": group.face_count,
                    "cohesion": group.cohesion,
                    "person_id": group.person_id,
                    "model": group.model,
                    "examples": [
                        {"face_id": face.id, "asset_id": face.asset_id, "path": face.path, "score": face.score}
                        for face in group.sample_faces
                    ],
                }
                for group in groups
            ],
        },
        ensure_ascii=True,
    )


def people_table(session: Session, groups: list[Group]) -> Table:
    """One row per group, with up to three example photos, named from the session's directory on."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bright_black")
    table.add_column("Group", justify="right", no_wrap=True)
    table.add_column("Person", justify="right", no_wrap=True)
    table.add_column("Faces", justify="right", no_wrap=True)
    table.add_column("Cohesion", justify="right", no_wrap=True)
    table.add_column("Examples", overflow="fold")
    for group in groups:
        table.add_row(
            str(group.id),
            "–" if group.person_id is None else str(group.person_id),
            wording.count(group.face_count),
            "–" if group.cohesion is None else f"{group.cohesion:.2f}",
            Text("\n".join(_examples(session, group))),
        )
    return table


def _examples(session: Session, group: Group) -> list[str]:
    paths = dict.fromkeys(face.path for face in group.sample_faces if face.path is not None)
    return [printable(_within(session.root_path, path)) for path in list(paths)[:_EXAMPLES]]


def _within(root: str, path: str) -> str:
    """`path` from `root` on; whole where it lies elsewhere."""
    whole = PurePath(path)
    return str(whole.relative_to(root)) if whole.is_relative_to(root) else path
