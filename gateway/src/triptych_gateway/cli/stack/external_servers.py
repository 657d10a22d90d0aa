"""Checks the PostgreSQL and NATS servers that the environment names, before anything is started on them."""

import asyncpg

from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.nats_server import nats_answers

_CONNECT_SECONDS = 5.0


async def require_nats(url: str) -> None:
    """Raises StackError when the server that NATS_URL names does not answer or lacks JetStream."""
    problem = await nats_answers(url)
    if problem is not None:
        raise StackError(f"The NATS server that NATS_URL names cannot be used: {problem}.")


async def require_postgres(url: str) -> None:
    """Raises StackError when the server that DATABASE_URL names does not answer or has no pgvector."""
    # SQLAlchemy's spelling names its driver.
    scheme, separator, rest = url.partition("://")
    try:
        connection = await asyncpg.connect(f"{scheme.partition('+')[0]}{separator}{rest}", timeout=_CONNECT_SECONDS)
        try:
            available = await connection.fetchval("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")
        finally:
            await connection.close(timeout=_CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reason = str(error) or type(error).__name__
        raise StackError(f"The PostgreSQL that DATABASE_URL names cannot be used: {reason}.") from error
    if not available:
        raise StackError("The PostgreSQL that DATABASE_URL names has no pgvector: install its extension `vector`.")
