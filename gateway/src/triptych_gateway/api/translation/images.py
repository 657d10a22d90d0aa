"""Photos as bodies."""

from collections.abc import Sequence

from triptych_common.media.locations import display_path
from triptych_gateway.api import schemas
from triptych_gateway.api.translation.faces import face_body
from triptych_gateway.catalog.library.photos import Asset
from triptych_gateway.catalog.people.faces import Face


def asset_body(asset: Asset, faces: Sequence[Face]) -> schemas.Asset:
    """A photo with its faces."""
    return schemas.Asset(
        id=asset.id,
        path=display_path(asset.path),
        width=asset.width,
        height=asset.height,
        size_bytes=asset.size_bytes,
        taken_at=asset.taken_at,
        missing_at=asset.missing_at,
        faces=[face_body(face) for face in faces],
    )
