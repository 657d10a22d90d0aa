"""How much work is ahead of a session: photos without a result, and the faces that clustering will have."""

import math
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.clustering.face_space import count_space
from triptych_gateway.catalog.runs.shards import RESULTS

USUAL_FACES: Final = 1.0
"""Faces in a photo where nothing is known of the photos; weighs as much as one photo that was looked at."""
_FACES_VARY: Final = 0.8
"""How much photos differ in it: standard deviation ÷ mean; about that of a gamma distribution of shape 1.5."""
_LIBRARIES_VARY: Final = 0.1
"""How much directories of a library differ in it: standard deviation of the logarithm."""
SURE_SPREAD: Final = 0.02
"""Doubt about a number that was counted."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A number of items, and the standard deviation of its logarithm, > 0."""

    items: float
    spread: float


@dataclass(frozen=True, kw_only=True)
class FacesSeen:
    """Faces found in photos that were looked at."""

    photos: int = 0
    faces: int = 0

    def and_also(self, other: "FacesSeen") -> "FacesSeen":
        """Both together."""
        return FacesSeen(photos=self.photos + other.photos, faces=self.faces + other.faces)


NOTHING_SEEN: Final = FacesSeen()
"""No photo was looked at."""


def expect_faces(*, known: int, photos: int, seen: FacesSeen) -> Expected:
    """Faces that a clustering will have: those known already, and those in so many photos yet to be looked at."""
    per_photo = (seen.faces + USUAL_FACES) / (seen.photos + 1)
    ahead = photos * per_photo
    if known + ahead <= 0:
        return Expected(items=0.0, spread=SURE_SPREAD)
    doubt = math.sqrt(_LIBRARIES_VARY**2 + _FACES_VARY**2 / (seen.photos + 1))
    return Expected(items=known + ahead, spread=max(SURE_SPREAD, doubt * ahead / (known + ahead)))


async def expect_photos(
    connection: AsyncConnection, session_id: int, *, phase: str, model_id: str, generation: int
) -> Expected:
    """Photos of the session that have no result of this model in this generation."""
    results = RESULTS[phase]
    count = await connection.execute(
        text(f"""
            SELECT count(*) FROM session_assets s JOIN assets a ON a.id = s.asset_id
            LEFT JOIN {results} r ON r.asset_id = a.id AND r.model_id = :model_id
                AND r.generation = :generation AND r.asset_version = a.version
            WHERE s.session_id = :session_id AND r.asset_id IS NULL"""),  # noqa: S608 - a name out of RESULTS
        {"session_id": session_id, "model_id": model_id, "generation": generation},
    )
    return Expected(items=float(count.scalar_one()), spread=SURE_SPREAD)


async def faces_seen(connection: AsyncConnection, *, model_id: str) -> FacesSeen:
    """Faces that this model found in the library's photos so far."""
    row = (
        await connection.execute(
            text("""
                SELECT count(*) AS photos, coalesce(sum(face_count), 0) AS faces FROM face_scans
                WHERE model_id = :model_id"""),
            {"model_id": model_id},
        )
    ).one()
    return FacesSeen(photos=row.photos, faces=int(row.faces))


async def expect_clustering(
    connection: AsyncConnection, *, model_id: str, photos: float, probed: FacesSeen = NOTHING_SEEN
) -> Expected:
    """Faces that clustering will have once so many more photos were looked at; ``probed`` were not stored."""
    seen = (await faces_seen(connection, model_id=model_id)).and_also(probed)
    known = await count_space(connection, model_id=model_id)
    return expect_faces(known=known, photos=round(photos), seen=seen)
