"""A session that this gateway runs: every write checks the lease first, in the same transaction."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from triptych_gateway.catalog.runs import leases
from triptych_gateway.catalog.runs.leases import Lease


class OwnedSession:
    """The right to write for one session."""

    def __init__(self, engine: AsyncEngine, lease: Lease) -> None:
        self._engine = engine
        self.lease = lease

    @property
    def session_id(self) -> int:
        """The session."""
        return self.lease.session_id

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading."""
        async with self._engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is committed at the end. Raises LeaseLostError before anything is written."""
        async with self._engine.connect() as connection, self.write_over(connection):
            yield connection

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[AsyncConnection]:
        """A connection for several transactions; where they break off it is closed, with its temporary tables."""
        async with self._engine.connect() as connection:
            try:
                yield connection
            except BaseException:
                await connection.invalidate()
                raise

    @asynccontextmanager
    async def write_over(self, connection: AsyncConnection) -> AsyncIterator[None]:
        """The same as `write`, over a connection that is there."""
        async with connection.begin():
            await self.check(connection)
            yield

    async def check(self, connection: AsyncConnection) -> None:
        """Make sure that the lease is held until the transaction ends; whoever presses a button waits for that end.

        A transaction that takes long begins without, and checks before it writes what others wait for. Raises
        LeaseLostError.
        """
        await leases.check(connection, self.lease)
