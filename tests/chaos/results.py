"""All that a session made of its photos, down to each vector, to be compared with what another made of them."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from tests.chaos.chaos_stack import PHOTOS
from tests.support.running_triptych import Triptych
from tests.support.stored_results import connected, photo_name

_EMBEDDINGS: Final = """
    SELECT a.path, e.model_id, e.embedding::text AS vector FROM embeddings e JOIN assets a ON a.id = e.asset_id
    JOIN session_assets s ON s.asset_id = a.id WHERE s.session_id = $1"""
_SCANS: Final = """
    SELECT a.path FROM face_scans f JOIN assets a ON a.id = f.asset_id
    JOIN session_assets s ON s.asset_id = a.id WHERE s.session_id = $1"""
_FACES: Final = """
    SELECT a.path, f.model_id, f.position, f.x, f.y, f.width, f.height, f.score, f.embedding::text AS vector, g.group_id
    FROM faces f JOIN assets a ON a.id = f.asset_id JOIN session_assets s ON s.asset_id = a.id
    LEFT JOIN face_places g ON g.face_id = f.id WHERE s.session_id = $1"""
_RUNS: Final = """
    SELECT phase, status, done, failed, skipped, total FROM runs WHERE session_id = $1 AND phase <> 'clustering'"""
"""Clustering counts the faces of the whole library, which grows."""

Face = tuple[str, int]
"""Its photo's name, and its place among those of the photo."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """What is stored of one session."""

    embeddings: tuple[tuple[str, ...], ...]
    """Photo, model and vector of each embedding."""
    scans: tuple[str, ...]
    """The photo of each search for faces."""
    faces: tuple[tuple[object, ...], ...]
    """All of each face."""
    groups: frozenset[frozenset[Face]]
    """Who is with whom, among this session's photos."""
    ungrouped: frozenset[Face]
    runs: tuple[tuple[object, ...], ...]
    """Phase, status, and counts of each run over photos."""

    def lost_photos(self) -> int:
        """Photos that lack an embedding or a search for faces."""
        complete = {photo for photo, *_ in self.embeddings} & set(self.scans)
        return PHOTOS - len(complete)

    def repeated_photos(self) -> int:
        """Photos with more than one embedding or search for faces."""
        embedded, scanned = [photo for photo, *_ in self.embeddings], list(self.scans)
        return len({photo for stored in (embedded, scanned) for photo in stored if stored.count(photo) > 1})

    def differences(self, other: "Results") -> list[str]:
        """What is not the same in both."""
        return [name for name, mine in vars(self).items() if mine != getattr(other, name)]


async def results_of(running: Triptych, session_id: int) -> Results:
    """What a session has stored."""
    async with connected(running) as database:
        embeddings = await database.fetch(_EMBEDDINGS, session_id)
        scans = await database.fetch(_SCANS, session_id)
        faces = await database.fetch(_FACES, session_id)
        runs = await database.fetch(_RUNS, session_id)
    groups: dict[int | None, set[Face]] = defaultdict(set)
    for face in faces:
        groups[face["group_id"]].add((photo_name(face["path"]), face["position"]))
    return Results(
        embeddings=tuple(sorted((photo_name(row["path"]), row["model_id"], row["vector"]) for row in embeddings)),
        scans=tuple(sorted(photo_name(row["path"]) for row in scans)),
        faces=tuple(sorted((photo_name(row["path"]), *list(row.values())[1:-1]) for row in faces)),
        groups=frozenset(frozenset(group) for number, group in groups.items() if number is not None),
        ungrouped=frozenset(groups[None]),
        runs=tuple(sorted(tuple(row.values()) for row in runs)),
    )
