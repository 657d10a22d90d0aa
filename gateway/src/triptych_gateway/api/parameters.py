"""Parameters that several endpoints take."""

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends, Header, Path, Query, Request

from triptych_gateway.api.schemas import MAX_ID

MOST_ITEMS = 100
"""Items of the largest page."""

Id = Annotated[int, Path(ge=1, le=MAX_ID)]
PageNumber = Annotated[int, Query(ge=1, le=1_000_000, description="Number of the page, from 1.")]
PageSize = Annotated[int, Query(ge=1, le=MOST_ITEMS, description="Items of a page.")]

_Named = Query(min_length=1, max_length=4096, description="Absolute path under a media root.")


def _as_sent(request: Request, path: str) -> str:
    """The query's path: FastAPI replaces bytes that are not UTF-8, which keep their place as surrogates here."""
    query: bytes = request.scope["query_string"]
    return parse_qs(query.decode("latin-1"), errors="surrogateescape").get("path", [path])[-1]


async def _query_path(request: Request, path: Annotated[str, _Named]) -> str:
    # Not a plain function: that would be called in a thread.
    return _as_sent(request, path)


async def _optional_query_path(request: Request, path: Annotated[str | None, _Named] = None) -> str | None:
    return _as_sent(request, path) if path is not None else None


QueryPath = Annotated[str, Depends(_query_path)]
"""A path in the query; a byte that is not UTF-8 is percent-encoded as it is."""
OptionalQueryPath = Annotated[str | None, Depends(_optional_query_path)]
LastEventId = Annotated[str | None, Header(description="Id of the last event that the reader has.")]
