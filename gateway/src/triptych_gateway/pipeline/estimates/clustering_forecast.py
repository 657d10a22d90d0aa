"""How a clustering is expected to go: by the graph that the last one kept, or of all faces anew, and what that took."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_common.progress.evidence import Timing
from triptych_gateway.catalog.clustering import face_space, kept_graphs
from triptych_gateway.catalog.clustering.kept_graphs import KeptGraph
from triptych_gateway.catalog.runs import history
from triptych_gateway.catalog.schema import LIVE_GENERATION

CLUSTERING_DEVICE: Final = "cpu"


@dataclass(frozen=True, kw_only=True)
class ClusteringForecast:
    """What is expected of a clustering."""

    graph: KeptGraph | None
    """The graph that it will stand on; None where there is none, or too many faces are not in it."""
    reason: str
    """Why it will not, for people to read; empty where it will."""
    history: tuple[Timing, ...]
    """Past runs of that kind, newest first; of all faces where none stood on a graph yet."""


async def expect(
    connection: AsyncConnection, *, model_id: str, faces: float, generation: int = LIVE_GENERATION
) -> ClusteringForecast:
    """What to expect of so many faces of a model, of which those of ``generation`` are found already.

    The clusterer has the last word: it may not understand the graph.
    """
    graph = await kept_graphs.find(connection, model_id=model_id)
    reason = "" if graph is not None else "nothing was kept"
    if graph is not None:
        kept = await face_space.count_kept(connection, graph_id=graph.id, model_id=model_id, generation=generation)
        if faces - kept > graph.most_new_faces:
            reason = f"{faces - kept:,.0f} of {faces:,.0f} faces are new, more than {graph.most_new_faces:,}"
            graph = None
    known: tuple[Timing, ...] = ()
    if graph is not None:
        known = await history.recent(
            connection, phase="clustering", model_id=model_id, device=CLUSTERING_DEVICE, method="incremental"
        )
    return ClusteringForecast(
        graph=graph,
        reason=reason,
        history=known
        or await history.recent(connection, phase="clustering", model_id=model_id, device=CLUSTERING_DEVICE),
    )
