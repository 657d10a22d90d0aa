"""The routes that the code has, whether the OpenAPI document describes them or not."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from starlette.routing import BaseRoute, Route

from triptych_gateway.api.app import described_app
from triptych_gateway.api.picture_heads import is_picture

PAGE: Final = "GET /"
_PARAMETER: Final = re.compile(r"\{(\w+)(?::\w+)?\}")


def routes_of_the_code() -> set[str]:
    """Such as ``GET /api/v1/faces/{face_id}/crop``."""
    return {PAGE, *_named(described_app().routes)}


def parameters_of(route: str) -> list[str]:
    """The names of what a route's path is made of."""
    return _PARAMETER.findall(route)


def _named(routes: Iterable[BaseRoute]) -> Iterator[str]:
    for route in routes:
        if isinstance(route, Route):
            path = _PARAMETER.sub(r"{\1}", route.path)
            yield from (f"{method} {path}" for method in route.methods or ())
            if is_picture(path):
                yield f"HEAD {path}"
        else:
            # FastAPI keeps a router that is included as one route of its own kind.
            yield from _named(route.original_router.routes)  # type: ignore[attr-defined]
