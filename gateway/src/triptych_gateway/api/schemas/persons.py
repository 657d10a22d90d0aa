"""Bodies of persons."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from triptych_gateway.api.schemas.base import MAX_ID, Body, Name, Time
from triptych_gateway.api.schemas.words import PersonStatus

MOST_MERGED: Final = 100
"""Persons that one request may merge into another."""


class Person(Body):
    """Somebody whose faces are in the library."""

    id: int
    name: str | None
    status: PersonStatus
    face_count: int = Field(ge=0)
    asset_count: int = Field(ge=0, description="Photos with a face of this person.")
    cover_face_id: int | None
    created_at: Time
    updated_at: Time


class PersonChange(Body):
    """What to change of a person; what is left out stays."""

    name: Name | None = Field(default=None, description="Null takes the name away.")
    status: PersonStatus = "active"
    cover_face_id: Annotated[int, Field(ge=1, le=MAX_ID)] | None = Field(
        default=None, description="A face of this person; null chooses the strongest."
    )

    def changes(self) -> dict[str, Any]:
        """The values that were given."""
        return self.model_dump(by_alias=False, exclude_unset=True)


class ChangedPerson(Body):
    """A person with a name who was not the same faces after a session's clustering."""

    kind: Literal["split", "merged", "ungrouped"] = Field(
        description="split: some faces are another's now; merged: all groups are; ungrouped: in no group any more."
    )
    person_id: int
    name: str = Field(description="The person's name at that time.")
    into_id: int | None = Field(description="The person whose the faces that left are; null where ungrouped.")
    into_name: str | None = Field(description="That person's name now.")
    faces: int = Field(ge=0, description="Faces that left; 0 where ungrouped.")


def _all_different(ids: list[int]) -> list[int]:
    if len(set(ids)) < len(ids):
        raise ValueError("each person is named once")
    return ids


class PersonMerge(Body):
    """Persons who are one and the same."""

    person_ids: Annotated[
        list[Annotated[int, Field(ge=1, le=MAX_ID)]],
        Field(min_length=1, max_length=MOST_MERGED),
        AfterValidator(_all_different),
    ]


class PersonsApart(Body):
    """Persons who are somebody else."""

    person_ids: Annotated[
        list[Annotated[int, Field(ge=1, le=MAX_ID)]],
        Field(min_length=1, max_length=MOST_MERGED),
        AfterValidator(_all_different),
    ]
