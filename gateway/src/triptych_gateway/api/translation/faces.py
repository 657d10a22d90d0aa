"""Faces and groups as bodies."""

from triptych_common.media.locations import display_path
from triptych_gateway.api import schemas
from triptych_gateway.catalog import faces


def face_body(face: faces.Face) -> schemas.Face:
    """A face."""
    return schemas.Face(
        id=face.id,
        asset_id=face.asset_id,
        path=display_path(face.path),
        person_id=face.person_id,
        group_id=face.group_id,
        box=schemas.Box(x=face.x, y=face.y, width=face.width, height=face.height),
        score=face.score,
        probability=face.probability,
        model=face.model_id,
        image_url=f"/api/v1/images/{face.asset_id}/thumbnail",
        crop_url=f"/api/v1/faces/{face.id}/crop",
    )


def group_body(group: faces.Group) -> schemas.Group:
    """A group, with a few of its faces."""
    return schemas.Group(
        id=group.id,
        face_count=group.face_count,
        cohesion=group.cohesion,
        person_id=group.person_id,
        model=group.model_id,
        sample_faces=[face_body(face) for face in group.faces[: faces.SAMPLE_FACES]],
    )


def group_detail_body(group: faces.Group) -> schemas.GroupDetail:
    """A group, with all its faces."""
    return schemas.GroupDetail(
        **group_body(group).model_dump(by_alias=False), faces=[face_body(face) for face in group.faces]
    )
