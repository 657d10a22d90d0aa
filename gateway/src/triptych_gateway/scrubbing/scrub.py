"""The whole of it, in the order in which one part leaves nothing for the next to bring back."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from triptych_common.errors import ConfigurationError
from triptych_gateway.backup import progress_stream
from triptych_gateway.catalog.database import catalogue_revision, create_bare_engine, create_engine
from triptych_gateway.catalog.privacy import forgettings
from triptych_gateway.pipeline.search_upkeep import BUILD_STATEMENT_SECONDS
from triptych_gateway.scrubbing.search_vectors import remove_gone_vectors
from triptych_gateway.scrubbing.tables import rewrite_tables
from triptych_gateway.scrubbing.write_ahead_log import renew_log


@dataclass(frozen=True, kw_only=True)
class Scrubbed:
    """What was done."""

    tables: int
    """Written anew."""
    log_files: int
    """Of the write-ahead log: removed or written over."""


async def scrub(database_url: str, *, nats_url: str | None) -> Scrubbed:
    """Leave nothing of what was removed in the files of the database, nor, with ``nats_url``, in those of NATS.

    Progress is announced again by the gateways. Raises ConfigurationError, and what a database that is away raises.
    """
    engine = create_engine(database_url, pool_size=2, statement_seconds=BUILD_STATEMENT_SECONDS)
    bare = create_bare_engine(database_url)
    try:
        await _require_quiet(bare)
        await remove_gone_vectors(engine)
        # Before the tables: an announcement that is on its way is in one of them.
        if nats_url is not None:
            await progress_stream.forget_progress(nats_url)
        async with bare.connect() as connection:
            alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
            tables = await rewrite_tables(alone)
            log_files = await renew_log(alone)
    finally:
        await engine.dispose()
        await bare.dispose()
    return Scrubbed(tables=tables, log_files=log_files)


async def _require_quiet(engine: AsyncEngine) -> None:
    """Raise ConfigurationError where there is no catalogue, where a session runs, or while something is forgotten."""
    async with engine.connect() as connection:
        if await catalogue_revision(connection) is None:
            raise ConfigurationError("The database has no catalogue.")
        running = (await connection.execute(text("SELECT min(id) FROM sessions WHERE status = 'running'"))).scalar_one()
        if running is not None:
            raise ConfigurationError(f"Session {running} is running: wait until it is over, or pause it.")
        if waiting := await forgettings.open_forgettings(connection):
            raise ConfigurationError(f"Forgetting {waiting[0]} is not done yet: wait for it, with a gateway running.")
