"""Bodies of searches."""

from typing import Self

from pydantic import Field, model_validator

from triptych_gateway.api.schemas.base import MAX_ID, Body, Line
from triptych_gateway.api.schemas.images import Asset

MOST_FOUND = 100


class SearchRequest(Body):
    """What to look for: a text, or a photo of the library."""

    text: Line | None = Field(default=None, min_length=1, max_length=1000)
    asset_id: int | None = Field(default=None, ge=1, le=MAX_ID)
    limit: int = Field(default=20, ge=1, le=MOST_FOUND)
    person_id: int | None = Field(default=None, ge=1, le=MAX_ID, description="Only photos with a face of this person.")

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        if (self.text is None) == (self.asset_id is None):
            raise ValueError("name either a text or an assetId, or send a picture as a form")
        return self


class SearchOptions(Body):
    """What goes with a picture that is sent along."""

    limit: int = Field(default=20, ge=1, le=MOST_FOUND)
    person_id: int | None = Field(default=None, ge=1, le=MAX_ID, description="Only photos with a face of this person.")


class SearchResult(Body):
    """A photo that was found."""

    asset: Asset
    score: float = Field(description="Cosine similarity, -1 to 1; 1 is the same.")


class SearchResults(Body):
    """What was found, the most alike first."""

    model: str = Field(description="Id of the model whose embeddings were searched.")
    items: list[SearchResult]
