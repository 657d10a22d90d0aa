"""Bodies of photos."""

from pydantic import Field

from triptych_gateway.api.schemas.base import Body, Time
from triptych_gateway.api.schemas.faces import Face


class Asset(Body):
    """A photo of the library."""

    id: int
    path: str
    width: int | None = Field(description="Of the upright photo, in pixels; null until it was decoded.")
    height: int | None
    size_bytes: int
    taken_at: str | None = Field(description="By the camera's clock, ISO 8601 without a zone.")
    missing_at: Time | None = Field(description="When its file was found to be gone.")
    faces: list[Face] = Field(
        description="All that were found, 1000 at most: of a photo with more, the face detector keeps the strongest."
    )
