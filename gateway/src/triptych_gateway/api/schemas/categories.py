"""Bodies of categories."""

from typing import Annotated, Any

from pydantic import Field

from triptych_gateway.api.schemas.base import Body, Line, Name, Time

Description = Annotated[Line, Field(max_length=2000)]
Color = Annotated[Line, Field(min_length=1, max_length=50, description="As style sheets write it.")]


class CategorySummary(Body):
    """A session's category."""

    id: int
    name: str
    description: str | None
    color: str | None
    is_default: bool
    created_at: Time
    updated_at: Time


class Category(CategorySummary):
    """A category of sessions."""

    session_count: int = Field(ge=0, description="Sessions in it.")


class CategoryCreate(Body):
    """A category to create."""

    name: Name
    description: Description | None = None
    color: Color | None = None
    is_default: bool = Field(default=False, description="At most one is: it takes the place of the former default.")


class CategoryChange(Body):
    """What to change of a category; what is left out stays."""

    name: Name = Field(default_factory=str)
    description: Description | None = Field(default=None, description="Null takes it away.")
    color: Color | None = Field(default=None, description="Null takes it away.")
    is_default: bool = Field(default=False, description="At most one is: it takes the place of the former default.")

    def changes(self) -> dict[str, Any]:
        """The values that were given."""
        return self.model_dump(by_alias=False, exclude_unset=True)
