"""Places in photos of which no face is stored, since somebody had the person there forgotten."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.people.face_boxes import SAME_FACE, Box, overlap


@dataclass(frozen=True, kw_only=True)
class KeptOutBox:
    """A place of which no face is stored."""

    x: float
    y: float
    width: float
    height: float


async def keep_out(connection: AsyncConnection, face_ids: Sequence[int]) -> None:
    """Keep the places of faces out of later searches for faces, for as long as their photos' files stay as they are."""
    # In the order of photos, so that rows do not tell which of them were one person's.
    await connection.execute(
        text("""
            INSERT INTO kept_out_boxes (asset_id, asset_version, x, y, width, height)
            SELECT f.asset_id, a.version, f.x, f.y, f.width, f.height
            FROM faces f JOIN assets a ON a.id = f.asset_id
            WHERE f.id = ANY(CAST(:ids AS bigint[])) ORDER BY f.asset_id, f.x, f.y
            ON CONFLICT DO NOTHING"""),
        {"ids": list(face_ids)},
    )


async def kept_out_of(connection: AsyncConnection, photos: Mapping[int, int]) -> dict[int, list[KeptOutBox]]:
    """The places that are kept out of photos, given each photo's version; photos without any are left out."""
    rows = await connection.execute(
        text("""
            SELECT b.asset_id, b.x, b.y, b.width, b.height
            FROM unnest(CAST(:ids AS bigint[]), CAST(:versions AS integer[])) AS p(asset_id, version)
            JOIN kept_out_boxes b ON b.asset_id = p.asset_id AND b.asset_version = p.version"""),
        {"ids": list(photos), "versions": list(photos.values())},
    )
    found: dict[int, list[KeptOutBox]] = defaultdict(list)
    for row in rows:
        found[row.asset_id].append(KeptOutBox(x=row.x, y=row.y, width=row.width, height=row.height))
    return dict(found)


def is_kept_out(face: Box, boxes: Sequence[Box]) -> bool:
    """Whether a face lies where none is to be stored: its box is one of these, as boxes of a face go."""
    return any(overlap(face, box) >= SAME_FACE for box in boxes)
