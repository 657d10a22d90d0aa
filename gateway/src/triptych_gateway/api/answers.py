"""Answers that are no JSON, as the OpenAPI document has them: pictures and streams of events."""

from typing import Any, Final

Answers = dict[int | str, dict[str, Any]]

_CACHED: Final = {
    "ETag": {"description": "Tag of the picture, for `If-None-Match`.", "schema": {"type": "string"}},
    "Cache-Control": {"description": "How long it may be kept.", "schema": {"type": "string"}},
}
PICTURE: Final[Answers] = {
    200: {
        "description": "The picture.",
        "headers": _CACHED,
        "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
    },
    304: {"description": "The reader has the picture already.", "headers": _CACHED},
}

FULL_PICTURE: Final[Answers] = {
    **PICTURE,
    200: {**PICTURE[200], "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}},
}

EVENTS: Final[Answers] = {
    200: {
        "description": "Server-Sent Events; a comment every 15 s shows that the stream lives.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'event: progress\nid: 1768212030000000\ndata: {"sessionId": 123, …}\n\n',
            }
        },
    },
}
EVENTS_WITH_END: Final[Answers] = {
    **EVENTS,
    204: {"description": "The reader has the last event already, and need not connect again."},
}
