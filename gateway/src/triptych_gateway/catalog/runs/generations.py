"""Generations of results: a restart writes beside what is shown, and takes its place once it is whole."""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.schema import LIVE_GENERATION

_TABLES: Final = {"training": ("embeddings",), "face_detection": ("faces", "face_scans"), "clustering": ()}
"""Phase → the tables of its results; rows of the first ones belong to rows of the last."""
_OF_THE_SESSION: Final = "asset_id IN (SELECT asset_id FROM session_assets WHERE session_id = :session_id)"


async def new(connection: AsyncConnection) -> int:
    """A number that no generation has had."""
    number: int = (await connection.execute(text("SELECT nextval('generations')"))).scalar_one()
    return number


async def publish(connection: AsyncConnection, run: Run) -> None:
    """Show a run's results in place of those that its photos had by the same model. Doing it twice changes nothing.

    Photos for which the run has no result keep the one that they had.
    """
    if run.generation == LIVE_GENERATION or run.model is None:
        return
    parameters = {
        "session_id": run.session_id,
        "model_id": run.model["id"],
        "generation": run.generation,
        "live": LIVE_GENERATION,
    }
    results = _TABLES[run.phase]
    for table in results:
        await connection.execute(
            text(f"""
                DELETE FROM {table} old USING {results[-1]} new
                WHERE new.asset_id = old.asset_id AND new.model_id = old.model_id AND new.generation = :generation
                AND old.generation = :live AND old.model_id = :model_id AND old.{_OF_THE_SESSION}"""),  # noqa: S608
            parameters,
        )
    for table in results:
        await connection.execute(
            text(f"""
                UPDATE {table} SET generation = :live
                WHERE generation = :generation AND model_id = :model_id AND {_OF_THE_SESSION}"""),  # noqa: S608
            parameters,
        )


async def abandon(connection: AsyncConnection, run: Run) -> None:
    """Remove what a run wrote that was never shown."""
    if run.generation == LIVE_GENERATION:
        return
    for table in _TABLES[run.phase]:
        await connection.execute(
            text(f"DELETE FROM {table} WHERE generation = :generation AND {_OF_THE_SESSION}"),  # noqa: S608
            {"generation": run.generation, "session_id": run.session_id},
        )
