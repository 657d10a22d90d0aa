"""Tokens for tests that ask a gateway which asks for them."""

from datetime import datetime

from triptych_gateway.catalog.access.tokens import Scope, create_token
from triptych_gateway.catalog.database import create_engine


def bearer(secret: str) -> dict[str, str]:
    """The header that a program sends."""
    return {"authorization": f"Bearer {secret}"}


async def make_token(
    database_url: str, scope: Scope, *, name: str = "a test", expires_at: datetime | None = None
) -> str:
    """A token's secret."""
    return (await make_known_token(database_url, scope, name=name, expires_at=expires_at))[1]


async def make_known_token(
    database_url: str, scope: Scope, *, name: str = "a test", expires_at: datetime | None = None
) -> tuple[int, str]:
    """A token's id and its secret."""
    engine = create_engine(database_url)
    async with engine.begin() as connection:
        token, secret = await create_token(connection, name=name, scope=scope, expires_at=expires_at)
    await engine.dispose()
    return token.id, secret
