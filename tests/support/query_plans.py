"""The statements that a function of the catalogue executes, and which of them would read whole tables."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.database import create_engine

_BLOCKING: Final = {"Sort", "Aggregate", "WindowAgg", "Hash", "SetOp", "Materialize", "Memoize"}
"""Nodes that read all of their input before they give the first row: a limit above them limits nothing below."""

_PLANNED: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


@dataclass(frozen=True, kw_only=True)
class Statements:
    """What was executed on a connection, with the parameters, in order."""

    connection: AsyncConnection
    executed: list[tuple[str, Sequence[Any]]]

    async def whole_reads(self, tables: frozenset[str]) -> list[str]:
        """Where a plan reads the whole of one of the tables; the statements are planned again, not executed."""
        found = []
        for statement, parameters in self.executed:
            for table, how in reads_of(await self._plan(statement, parameters), tables):
                found.append(f"{how} on {table}: {' '.join(statement.split())[:200]}")
        return found

    async def _plan(self, statement: str, parameters: Sequence[Any]) -> Mapping[str, Any]:
        raw = await self.connection.get_raw_connection()
        driver = raw.driver_connection
        assert driver is not None
        answer = await driver.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *parameters)
        plan: Mapping[str, Any] = answer[0]["Plan"]
        return plan


@asynccontextmanager
async def recorded(database_url: str) -> AsyncIterator[Statements]:
    """A transaction, rolled back at the end, whose statements are recorded."""
    engine = create_engine(database_url)
    executed: list[tuple[str, Sequence[Any]]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, ___: Any, executemany: bool) -> None:
        if statement.lstrip().upper().startswith(_PLANNED):
            executed.append((statement, tuple(parameters[0] if executemany else parameters)))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        async with engine.connect() as connection:
            try:
                yield Statements(connection=connection, executed=executed)
            finally:
                await connection.rollback()
    finally:
        await engine.dispose()


def reads_of(plan: Mapping[str, Any], tables: frozenset[str], *, limited: bool = False) -> Iterator[tuple[str, str]]:
    """(table, kind of scan) for every node of a plan that reads the whole of one of the tables.

    That is a sequential scan, and a walk over an index without a condition unless a limit ends it.
    """
    kind = plan["Node Type"]
    table = plan.get("Relation Name")
    if table in tables:
        if kind == "Seq Scan":
            yield table, kind
        elif kind in ("Index Scan", "Index Only Scan") and "Index Cond" not in plan and not limited:
            yield table, f"{kind} without a condition"
    below = kind == "Limit" or (limited and kind not in _BLOCKING)
    for child in plan.get("Plans", ()):
        yield from reads_of(child, tables, limited=below)
