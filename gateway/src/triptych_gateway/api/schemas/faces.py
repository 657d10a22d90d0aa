"""Bodies of faces and groups."""

from pydantic import Field

from triptych_gateway.api.schemas.base import MAX_ID, Body


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
    """A group with a page of its faces, strongest members first."""

    faces: list[Face]
    page: int = Field(ge=1, description="Number of this page of faces, from 1.")
    page_size: int = Field(ge=1)
    has_more: bool


class FacePerson(Body):
    """Who a face is."""

    person_id: int | None = Field(ge=1, le=MAX_ID, description="The person; null makes a new one for this face.")
