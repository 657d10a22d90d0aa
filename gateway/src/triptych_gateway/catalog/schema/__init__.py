"""The catalogue's tables, by area."""

from triptych_gateway.catalog.schema.access import audit, tokens
from triptych_gateway.catalog.schema.base import LIVE_GENERATION, Vector, generations, metadata, search_tables
from triptych_gateway.catalog.schema.kept_graphs import kept_faces, kept_graphs, kept_groups
from triptych_gateway.catalog.schema.library import assets, directories, ignored_directories
from triptych_gateway.catalog.schema.people import (
    changed_persons,
    clusterings,
    corrections,
    different_persons,
    face_places,
    groups,
    person_counts,
    persons,
    session_faces,
    session_groups,
    session_persons,
)
from triptych_gateway.catalog.schema.privacy import forgetting_photos, forgettings, kept_out_boxes
from triptych_gateway.catalog.schema.results import embeddings, face_scans, faces
from triptych_gateway.catalog.schema.runs import leases, outbox, phase_history, run_items, runs
from triptych_gateway.catalog.schema.search import search_queue, search_spaces
from triptych_gateway.catalog.schema.sessions import (
    categories,
    session_assets,
    session_directories,
    session_job_counts,
    session_problems,
    sessions,
)

__all__ = [
    "LIVE_GENERATION",
    "Vector",
    "assets",
    "audit",
    "categories",
    "changed_persons",
    "clusterings",
    "corrections",
    "different_persons",
    "directories",
    "embeddings",
    "face_places",
    "face_scans",
    "faces",
    "forgetting_photos",
    "forgettings",
    "generations",
    "groups",
    "ignored_directories",
    "kept_faces",
    "kept_graphs",
    "kept_groups",
    "kept_out_boxes",
    "leases",
    "metadata",
    "outbox",
    "person_counts",
    "persons",
    "phase_history",
    "run_items",
    "runs",
    "search_queue",
    "search_spaces",
    "search_tables",
    "session_assets",
    "session_directories",
    "session_faces",
    "session_groups",
    "session_job_counts",
    "session_persons",
    "session_problems",
    "sessions",
    "tokens",
]
