"""Faces, groups and persons as bodies."""

from collections.abc import Sequence
from typing import Any

from triptych_common.media.locations import display_path
from triptych_gateway.api import schemas
from triptych_gateway.catalog.people import faces, groups, persons


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


def group_body(group: groups.Group) -> schemas.Group:
    """A group, with a few of its faces."""
    return schemas.Group(**_group(group), sample_faces=[face_body(face) for face in group.faces])


def group_detail_body(
    group: groups.Group, found: Sequence[faces.Face], *, page: int, page_size: int
) -> schemas.GroupDetail:
    """A group, with a page of its faces."""
    return schemas.GroupDetail(
        **_group(group),
        sample_faces=[face_body(face) for face in group.faces],
        faces=[face_body(face) for face in found],
        page=page,
        page_size=page_size,
        has_more=page * page_size < group.face_count,
    )


def _group(group: groups.Group) -> dict[str, Any]:
    return {
        "id": group.id,
        "face_count": group.face_count,
        "cohesion": group.cohesion,
        "person_id": group.person_id,
        "model": group.model_id,
    }


def person_body(person: persons.Person) -> schemas.Person:
    """A person."""
    return schemas.Person(**vars(person))
