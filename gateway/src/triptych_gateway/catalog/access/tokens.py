"""API tokens: made, listed, revoked. The database knows only their hashes.

A token is 256 random bits, so one round of SHA-256 keeps it as well as a slow hash would: there is nothing to guess
(OWASP, Session Management Cheat Sheet: 64 bits of entropy at least).
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Row, and_, func, insert, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.schema import tokens

Scope = Literal["read", "control", "admin"]
SCOPES: Final[tuple[Scope, ...]] = ("read", "control", "admin")
"""Each may what those before it may: look; press buttons, create, name and correct; delete sessions, rebuild
indexes and see who had what done."""
_PREFIX: Final = "triptych_"
"""So that people, and programs that look for leaked secrets, know what it is."""
_SECRET_BYTES: Final = 32
_SHOWN: Final = [column for column in tokens.c if column.name != "secret_sha256"]


@dataclass(frozen=True, kw_only=True)
class Token:
    """What is known of a token, beside its secret."""

    id: int
    name: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None
    """None: never."""
    revoked_at: datetime | None

    def is_live(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def digest(secret: str) -> bytes:
    """The hash under which a token is known, 32 bytes."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


async def create_token(
    connection: AsyncConnection, *, name: str, scope: Scope, expires_at: datetime | None
) -> tuple[Token, str]:
    """A new token, and its secret, which cannot be asked for again."""
    secret = _PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    values = {"name": name, "scope": scope, "secret_sha256": digest(secret), "expires_at": expires_at}
    row = (await connection.execute(insert(tokens).values(values).returning(*_SHOWN))).one()
    return _token(row), secret


async def create_first_token(connection: AsyncConnection, *, name: str, scope: Scope) -> tuple[Token, str] | None:
    """As `create_token`, one that never expires; None where any was ever made, also one that is over."""
    await connection.execute(text("LOCK TABLE tokens IN SHARE ROW EXCLUSIVE MODE"))
    if (await connection.execute(select(tokens.c.id).limit(1))).first() is not None:
        return None
    return await create_token(connection, name=name, scope=scope, expires_at=None)


async def list_tokens(connection: AsyncConnection) -> list[Token]:
    """Every token that was made, also those that are over, oldest first."""
    return [_token(row) for row in await connection.execute(select(*_SHOWN).order_by(tokens.c.id))]


async def revoke_token(connection: AsyncConnection, token_id: int) -> Token:
    """End a token; one that is revoked already stays as it is. Raises NotFoundError."""
    revoked = func.coalesce(tokens.c.revoked_at, func.now())
    changed = update(tokens).where(tokens.c.id == token_id).values(revoked_at=revoked).returning(*_SHOWN)
    row = (await connection.execute(changed)).first()
    if row is None:
        raise NotFoundError(f"There is no token {token_id}.")
    return _token(row)


async def live_tokens(connection: AsyncConnection) -> Mapping[bytes, Token]:
    """Those that are neither revoked nor expired, by their hashes."""
    rows = await connection.execute(select(tokens.c.secret_sha256, *_SHOWN).where(_live()))
    return {row.secret_sha256: _token(row) for row in rows}


def _live() -> ColumnElement[bool]:
    return and_(tokens.c.revoked_at.is_(None), or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > func.now()))


def _token(row: Row[Any]) -> Token:
    return Token(**{column.name: row._mapping[column] for column in _SHOWN})
