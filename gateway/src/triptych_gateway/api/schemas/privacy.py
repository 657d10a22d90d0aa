"""Bodies of what is forgotten."""

from typing import Annotated, Literal

from pydantic import Field

from triptych_gateway.api.schemas.base import MAX_ID, Body, Time

ForgettingKind = Literal["person", "photo", "session"]


class Forget(Body):
    """Whom or what to forget."""

    kind: ForgettingKind
    id: Annotated[int, Field(ge=1, le=MAX_ID, description="Of the person, photo or session.")]
    keep_out: bool = Field(
        default=True,
        description="Of a person: keep the boxes of the faces, without vectors, so that no later search of these photos"
        " stores a face there. It holds until a photo's file changes.",
    )


class Forgetting(Body):
    """Somebody or something that is to be forgotten, or is, and what was removed so far."""

    id: int
    kind: ForgettingKind
    subject_id: int = Field(description="Of the person, photo or session.")
    keep_out: bool
    persons: int = Field(ge=0, description="Persons removed, without those who had no face left.")
    faces: int = Field(ge=0, description="Faces removed, each with its vector.")
    photos: int = Field(ge=0, description="Photos removed; their files stay.")
    sessions: int = Field(ge=0, description="Sessions removed.")
    waits_for: str | None = Field(description="What it waits for, in one sentence; null where it does not.")
    asked_at: Time
    done_at: Time | None = Field(description="When the last of it was removed; null until then.")
