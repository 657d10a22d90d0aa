"""Bodies of searches, and of the index that they use."""

from typing import Literal, Self

from pydantic import Field, model_validator

from triptych_gateway.api.schemas.base import MAX_ID, Body, Line, Time
from triptych_gateway.api.schemas.images import Asset

MOST_FOUND = 100
SpaceState = Literal["ready", "waiting", "copying", "linking"]


class SearchOptions(Body):
    """What narrows a search; it goes with a picture that is sent along, too."""

    limit: int = Field(default=20, ge=1, le=MOST_FOUND)
    person_id: int | None = Field(default=None, ge=1, le=MAX_ID, description="Only photos with a face of this person.")
    session_id: int | None = Field(default=None, ge=1, le=MAX_ID, description="Only photos of this session.")


class SearchRequest(SearchOptions):
    """What to look for: a text, or a photo of the library."""

    text: Line | None = Field(default=None, min_length=1, max_length=1000)
    asset_id: int | None = Field(default=None, ge=1, le=MAX_ID)

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        if (self.text is None) == (self.asset_id is None):
            raise ValueError("name either a text or an assetId, or send a picture as a form")
        return self


class SearchResult(Body):
    """A photo that was found."""

    asset: Asset
    score: float = Field(description="Cosine similarity, -1 to 1; 1 is the same.")


class OtherModel(Body):
    """A model whose embeddings were not searched."""

    model: str
    photos: int = Field(ge=0, description="Photos that have an embedding of it.")


class SearchResults(Body):
    """What was found, the most alike first."""

    model: str = Field(description="Id of the model whose embeddings were searched.")
    items: list[SearchResult]
    other_models: list[OtherModel] = Field(
        description="Models whose embeddings are kept and were not searched: two models are never mixed."
    )


class SearchSpace(Body):
    """The embeddings of one model, as they are searched."""

    model: str
    is_active: bool = Field(description="Whether searches use it now.")
    dimension: int | None = Field(description="Numbers in an embedding; null before its first table.")
    photos: int = Field(ge=0, description="Photos in its table.")
    waiting: int = Field(ge=0, description="Photos that came, changed or went since; the first of them are found too.")
    method: Literal["exact", "graph"] = Field(description="Whether each is compared, or an approximate index (HNSW).")
    state: SpaceState = Field(
        description="Whether its table is in use, is to be built, or is built: copied first, then linked to a graph."
    )
    done: int = Field(ge=0, description="Photos of that stage that are done.")
    total: int = Field(ge=0, description="Photos of that stage; 0 while nothing is built.")
    size_bytes: int = Field(ge=0, description="Of the table in use, with its index.")
    built_at: Time | None
    build_seconds: float | None = Field(description="What the last building took.")


class SearchIndex(Body):
    """What searches use: one space for each model."""

    spaces: list[SearchSpace]
