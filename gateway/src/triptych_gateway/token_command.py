"""The command triptych-gateway-token: API tokens, made and ended by whoever may read the database."""

import argparse
import sys
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.access.tokens import (
    SCOPES,
    Token,
    create_first_token,
    create_token,
    list_tokens,
    revoke_token,
)
from triptych_gateway.catalog.database import create_engine, migrate
from triptych_gateway.database_commands import database_settings, run_to_exit

_LONGEST_DAYS = 3650


def main() -> NoReturn:
    """Entry point of the console script; exit status 78 with one sentence where it cannot be done."""
    run_to_exit(_run(_parser().parse_args()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="triptych-gateway-token", description="API tokens, in the database that DATABASE_URL names."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    create = commands.add_parser("create", help="Make a token and print it, this once")
    create.add_argument("name", type=_name, help="What it is for")
    create.add_argument("--scope", choices=SCOPES, default="control")
    create.add_argument("--days", type=_days, help="Until it expires; for ever where it is left out")
    first = commands.add_parser("first", help="Make a token of scope admin and print it, unless any was made before")
    first.add_argument("name", type=_name, help="What it is for")
    commands.add_parser("list", help="All tokens, without their secrets")
    revoke = commands.add_parser("revoke", help="End a token")
    revoke.add_argument("id", type=int)
    return parser


def _name(value: str) -> str:
    if not value.strip() or len(value) > 200 or not value.isprintable():
        raise argparse.ArgumentTypeError("a name has 1 to 200 printable characters")
    return value.strip()


def _days(value: str) -> int:
    if not value.isdecimal() or not 1 <= int(value) <= _LONGEST_DAYS:
        raise argparse.ArgumentTypeError(f"1 to {_LONGEST_DAYS} days")
    return int(value)


async def _run(arguments: argparse.Namespace) -> None:
    settings = database_settings("that has the tokens")
    await migrate(settings.database_url)
    engine = create_engine(settings.database_url, pool_size=1)
    try:
        async with engine.begin() as connection:
            lines = await _do(connection, arguments)
    finally:
        await engine.dispose()
    sys.stdout.write("".join(f"{line}\n" for line in lines))


async def _do(connection: AsyncConnection, arguments: argparse.Namespace) -> list[str]:
    """What is to be printed, once it is committed."""
    if arguments.command == "create":
        expires_at = datetime.now(UTC) + timedelta(days=arguments.days) if arguments.days is not None else None
        return _shown_once(
            *await create_token(connection, name=arguments.name, scope=arguments.scope, expires_at=expires_at)
        )
    if arguments.command == "first":
        made = await create_first_token(connection, name=arguments.name, scope="admin")
        if made is None:
            sys.stderr.write("There were tokens before, so none is made; `create` makes further ones.\n")
            return []
        return _shown_once(*made)
    if arguments.command == "revoke":
        token = await revoke_token(connection, arguments.id)
        return [f"Token {token.id} ({token.name}) is revoked; every gateway knows within seconds."]
    now = datetime.now(UTC)
    return [_line(token, now) for token in await list_tokens(connection)] or ["There is no token yet."]


def _shown_once(token: Token, secret: str) -> list[str]:
    """What is to be printed of a new token."""
    sys.stderr.write(f"Token {token.id}, scope {token.scope}. It is shown this once; who has it may use it.\n")
    return [secret]


def _line(token: Token, now: datetime) -> str:
    if token.revoked_at is not None:
        state = f"revoked {token.revoked_at:%Y-%m-%d}"
    elif token.expires_at is None:
        state = "never expires"
    else:
        state = f"{'expires' if token.is_live(now) else 'expired'} {token.expires_at:%Y-%m-%d}"
    return f"{token.id:>4}  {token.scope:<7}  {token.created_at:%Y-%m-%d}  {state:<18}  {token.name}"
