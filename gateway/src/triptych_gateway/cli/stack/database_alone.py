"""The embedded PostgreSQL by itself, for a command that needs the catalogue while nothing else runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from triptych_gateway.cli.stack.data_directory import DataDirectory
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.log_sink import LogSink
from triptych_gateway.cli.stack.postgres import EmbeddedPostgres
from triptych_gateway.cli.stack.supervisor import Child


@asynccontextmanager
async def database_alone(data_directory: DataDirectory) -> AsyncIterator[str]:
    """The URL of a PostgreSQL that answers until the end of the context; the caller holds the data directory's lock.

    Raises:
        StackError: it cannot run.
    """
    sink = LogSink(data_directory.logs, console=None)
    failure: StackError | None = None
    try:
        postgres = await EmbeddedPostgres.install(data_directory, sink.say)
        hopeless: asyncio.Future[StackError] = asyncio.get_running_loop().create_future()
        child = Child(postgres.plan(), sink, on_started=lambda _: None, on_hopeless=hopeless.set_result)
        async with asyncio.TaskGroup() as group:
            child.start_in(group)
            try:
                await _until_ready(child, hopeless)
                yield postgres.url
            except StackError as error:
                # Out of the group it would come as a part of another exception.
                failure = error
            finally:
                await child.stop()
        postgres.remove_temporary_socket_directory()
    finally:
        sink.close()
    if failure is not None:
        raise failure


async def _until_ready(child: Child, hopeless: asyncio.Future[StackError]) -> None:
    ready = asyncio.ensure_future(child.wait_until_ready())
    try:
        await asyncio.wait((ready, hopeless), return_when=asyncio.FIRST_COMPLETED)
    finally:
        ready.cancel()
    if hopeless.done():
        raise hopeless.result()
