"""What it costs the gateway to keep what a clustering gave: in a PostgreSQL of its own, by the gateway's own code."""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from tests.support.real_servers import PostgresServer
from triptych.v1 import clusterer_pb2
from triptych_gateway.catalog.clustering import kept_graphs
from triptych_gateway.catalog.clustering.kept_graphs import KeptGraph
from triptych_gateway.catalog.database import create_engine
from triptych_gateway.pipeline.clustering.clustering_messages import Answer, kept_messages

Response = clusterer_pb2.ClusterFacesResponse


async def measure_store(
    postgres: PostgresServer, whole: Sequence[Response], changes: Sequence[Response], *, model_id: str
) -> dict[str, Any]:
    """Figures of writing all that is kept, reading it as messages, and writing what the next clustering changed.

    Both answers end with their summaries.
    """
    engine = create_engine(postgres.url(postgres.create_database()))
    try:
        began = time.perf_counter()
        async with engine.begin() as connection:
            await _write(connection, whole, None, model_id)
        write_seconds = time.perf_counter() - began
        async with engine.connect() as connection:
            graph = await kept_graphs.find(connection, model_id=model_id)
            assert graph is not None
            began = time.perf_counter()
            messages = [one async for one in kept_messages(connection, graph)]
            read_seconds = time.perf_counter() - began
            size = await connection.execute(
                text("SELECT pg_total_relation_size('kept_faces') + pg_total_relation_size('kept_groups')")
            )
            stored_bytes = size.scalar_one()
        began = time.perf_counter()
        async with engine.begin() as connection:
            await _write(connection, changes, graph, model_id)
        change_seconds = time.perf_counter() - began
    finally:
        await engine.dispose()
    assert sum(len(one.kept_faces.neighbours.ids) for one in messages) == graph.face_count
    return {
        "write_all_seconds": round(write_seconds, 3),
        "read_all_seconds": round(read_seconds, 3),
        "write_changes_seconds": round(change_seconds, 3),
        "stored_bytes_per_face": round(stored_bytes / graph.face_count, 1),
    }


async def _write(connection: Any, messages: Sequence[Response], former: KeptGraph | None, model_id: str) -> None:
    answer = Answer()
    for message in messages:
        answer.take(message)
    change = answer.change(former)
    assert change is not None
    if not await kept_graphs.write(connection, change, model_id=model_id):
        raise SystemExit("What is kept changed meanwhile.")
