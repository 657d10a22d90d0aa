"""What a session that is over must not leave behind: leases, connections, consumers, processes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import nats
import psutil

from tests.chaos.cells import PARTS
from tests.chaos.chaos_stack import ChaosStack
from tests.chaos.links import POSTGRES
from tests.support.running_triptych import still_alive
from tests.support.stored_results import connected
from triptych_common.progress.events import STREAM
from triptych_gateway.cli.stack.waiting import wait_until_answered

_DEADLINE_SECONDS: Final = 60.0
"""Longer than a lease, and than a consumer of whom nothing is heard, last."""
_INTERVAL_SECONDS: Final = 0.25


@dataclass(kw_only=True)
class Leftovers:
    """Looks for them in one stack."""

    stack: ChaosStack
    consumers: int
    """Consumers of the progress stream while nothing is wrong."""
    _seen: dict[tuple[int, float], psutil.Process] = field(default_factory=dict)

    def note_processes(self) -> None:
        """Note who belongs to the stack now."""
        for process in psutil.Process(self.stack.triptych.process.pid).children(recursive=True):
            try:
                self._seen[process.pid, process.create_time()] = process
            except psutil.NoSuchProcess:
                continue

    async def find(self, session_id: int) -> list[str]:
        """What is still there after all had time to go; empty where everything is as it should be."""
        wanted: dict[str, Callable[[], Awaitable[bool]]] = {
            "a lease": lambda: self._no_lease(session_id),
            "connections that only the database has": self._no_connection_of_nobody,
            "a transaction that nobody ends": self._no_idle_transaction,
            "consumers of the stream": self._no_consumer_of_nobody,
            "processes": self._no_process_of_nobody,
            "events that were not sent": self._empty_outbox,
        }
        found = await asyncio.gather(
            *(
                wait_until_answered(holds, deadline_seconds=_DEADLINE_SECONDS, interval_seconds=_INTERVAL_SECONDS)
                for holds in wanted.values()
            )
        )
        return [what for what, gone in zip(wanted, found, strict=True) if not gone]

    async def _count(self, query: str, *parameters: object) -> int:
        async with connected(self.stack.triptych) as database:
            return int(await database.fetchval(query, *parameters))

    async def _no_lease(self, session_id: int) -> bool:
        query = "SELECT count(*) FROM leases WHERE session_id = $1 AND expires_at > now()"
        return await self._count(query, session_id) == 0

    async def _no_connection_of_nobody(self) -> bool:
        """Whether the gateway's connections are as many at its end as at the database's."""
        of_database = await self._count("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'triptych'")
        port = int(self.stack.links.addresses()["gateway"][POSTGRES].rpartition(":")[2])
        sockets = self.stack.triptych.child("gateway").net_connections("tcp")
        return of_database == sum(bool(one.raddr) and one.raddr.port == port for one in sockets)

    async def _no_idle_transaction(self) -> bool:
        query = """
            SELECT count(*) FROM pg_stat_activity WHERE application_name = 'triptych'
            AND state LIKE 'idle in transaction%' AND state_change < now() - interval '5 s'"""
        return await self._count(query) == 0

    async def _empty_outbox(self) -> bool:
        return await self._count("SELECT count(*) FROM outbox") == 0

    async def _no_consumer_of_nobody(self) -> bool:
        return await count_consumers(self.stack) == self.consumers

    async def _no_process_of_nobody(self) -> bool:
        """Whether each part runs once, and nobody does who was part of the stack and is no more."""
        parent = psutil.Process(self.stack.triptych.process.pid)
        parts = {process.pid for process in parent.children()}
        if parts != {self.stack.triptych.record().processes[part].process_id for part in PARTS}:
            return False
        belonging = {process.pid for process in parent.children(recursive=True)}
        return not still_alive([process for process in self._seen.values() if process.pid not in belonging])


async def count_consumers(stack: ChaosStack) -> int:
    """Consumers of the progress stream."""
    client = await nats.connect(stack.triptych.record().nats_url, allow_reconnect=False)
    try:
        return (await client.jetstream().stream_info(STREAM)).state.consumer_count
    finally:
        await client.close()
