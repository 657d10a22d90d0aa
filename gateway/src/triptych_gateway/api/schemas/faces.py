"""Bodies of faces and groups."""

from triptych_gateway.api.schemas.base import Body


class Box(Body):
    """A rectangle in shares of the upright photo."""

    x: float
    y: float
    width: float
    height: float


class Face(Body):
    """A face."""

    id: int
    asset_id: int
    path: str
    person_id: int | None
    group_id: int | None
    box: Box
    score: float
    probability: float | None
    model: str
    image_url: str
    crop_url: str


class Group(Body):
    """Faces that are the same person."""

    id: int
    face_count: int
    cohesion: float
    person_id: int | None
    model: str
    sample_faces: list[Face]


class GroupDetail(Group):
    """A group with all its faces."""

    faces: list[Face]
