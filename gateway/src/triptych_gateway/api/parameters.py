"""Parameters that several endpoints take."""

from typing import Annotated

from fastapi import Path, Query

from triptych_gateway.api.schemas import MAX_ID

MOST_ITEMS = 100
"""Items of the largest page."""

Id = Annotated[int, Path(ge=1, le=MAX_ID)]
PageNumber = Annotated[int, Query(ge=1, le=1_000_000, description="Number of the page, from 1.")]
PageSize = Annotated[int, Query(ge=1, le=MOST_ITEMS, description="Items of a page.")]
