"""What all bodies stand on: JSON keys are camelCase; request bodies accept snake_case too."""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel


def utc(value: datetime) -> str:
    """A moment as ISO 8601 in UTC, to the millisecond, with a trailing Z."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[
    datetime,
    PlainSerializer(utc, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-01-12T10:00:00.000Z"]}),
]
"""ISO 8601 in UTC with a trailing Z."""

MAX_ID = 2**63 - 1
"""Largest id that PostgreSQL's bigint holds."""


def without_nul(value: str) -> str:
    """The text as it is. Raises ValueError where PostgreSQL could not store it."""
    if "\0" in value:
        raise ValueError("a text holds no NUL character")
    return value


Line = Annotated[str, AfterValidator(without_nul)]
"""Text that can be stored."""
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(without_nul)
]
"""What something is called: not blank."""


def _path(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a path is a string")  # noqa: TRY004 - pydantic reports ValueErrors
    if not 1 <= len(value) <= 4096:
        raise ValueError("a path has 1 to 4096 characters")
    return value


# Not pydantic's own str: that refuses lone surrogates, which are how bytes that are no UTF-8 travel in JSON.
DirectoryPath = Annotated[
    str,
    PlainValidator(_path, json_schema_input_type=str),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 4096}),
]
"""A directory as a client names it; a byte 0xNN that is not UTF-8 travels as the escape ``\\udcNN`` (PEP 383)."""


class Body(BaseModel):
    """A JSON object of the contract."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        serialize_by_alias=True,
        # Every key of an answer is always present.
        json_schema_serialization_defaults_required=True,
    )


ItemT = TypeVar("ItemT")


class Page(Body, Generic[ItemT]):
    """A page of a list."""

    # A page of something does not inherit the docstring.
    model_config = ConfigDict(json_schema_extra={"description": "A page of a list."})

    items: list[ItemT]
    total: int = Field(ge=0)
    page: int = Field(ge=1, description="Number of this page, from 1.")
    page_size: int = Field(ge=1)
    has_more: bool

    @classmethod
    def of(cls, items: list[ItemT], *, total: int, page: int, page_size: int) -> "Page[ItemT]":
        """A page with ``has_more`` worked out."""
        return cls(items=items, total=total, page=page, page_size=page_size, has_more=page * page_size < total)


class ErrorBody(Body):
    """What went wrong, for programs."""

    code: str
    message: str = Field(description="One sentence for a person.")
    details: dict[str, Any] = Field(description="What the code's meaning promises; else empty.")


class Error(Body):
    """The one error object: ``detail`` is FastAPI's, ``message`` one sentence for a person."""

    detail: str | list[Any] = Field(description="The sentence, or what is wrong with an invalid request, one by one.")
    message: str = Field(description="One sentence for a person.")
    error: ErrorBody
