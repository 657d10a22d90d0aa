"""The endpoints that are measured, as data, and a check that none with pages is forgotten."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

API: Final = "/api/v1"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A GET with its parameters."""

    path: str
    """As the OpenAPI document has it, below /api/v1; what is in braces is a name of the examples."""
    query: Mapping[str, str | int] = field(default_factory=dict)
    """A value in braces is a name of the examples."""
    total: str | None = None
    """The key of the answer that says how many items all pages have together; None: it has no pages."""

    def name(self) -> str:
        """For the report."""
        query = "&".join(f"{key}={value}" for key, value in self.query.items())
        return f"{self.path}?{query}" if query else self.path

    def request(self, examples: Mapping[str, str | int]) -> tuple[str, dict[str, str]]:
        """Path and parameters of a request."""
        parameters = {key: str(value).format_map(examples) for key, value in self.query.items()}
        return f"{API}{self.path}".format_map(examples), parameters


def _pages(path: str, *queries: Mapping[str, str | int], total: str = "total") -> list[Endpoint]:
    return [Endpoint(path=path, query=query, total=total) for query in queries]


SESSION_STATUSES: Final = ("pending", "discovering", "running", "paused", "completed", "failed", "cancelled")
JOB_STATUSES: Final = ("pending", "running", "completed", "failed", "cancelled", "skipped")
_SESSION: Final = {"session_id": "{session_id}"}

ENDPOINTS: Final[Sequence[Endpoint]] = (
    *_pages("/training/sessions", {}, *({"status": status} for status in SESSION_STATUSES)),
    *_pages("/training/sessions/{session_id}/jobs", {}, *({"status": status} for status in JOB_STATUSES)),
    *_pages("/training/sessions/{session_id}/problems", {}),
    *_pages("/training/sessions/{session_id}/changed-persons", {}),
    *_pages("/categories", {}),
    *_pages("/audit", {}, {**_SESSION}),
    *_pages("/privacy/forgettings", {}),
    *_pages("/faces/sessions", {}),
    *_pages(
        "/faces/persons",
        {},
        {"status": "hidden"},
        {"status": "all"},
        {**_SESSION},
        {**_SESSION, "status": "all"},
        {"session_id": "{small_session_id}"},
        {"q": "person 1"},
        {"q": "nobody"},
        {**_SESSION, "q": "person 1"},
    ),
    *_pages("/faces/persons/{person_id}/faces", {}),
    *_pages("/faces/persons/{person_id}/different", {}),
    *_pages("/faces/clusters", {}, {**_SESSION}, {"session_id": "{small_session_id}"}),
    *_pages("/faces/clusters/{group_id}", {}, total="faceCount"),
    *_pages("/faces/unassigned", {}),
    Endpoint(path="/training/sessions/{session_id}"),
    Endpoint(path="/training/sessions/{session_id}/subdirectories"),
    Endpoint(path="/training/sessions/{session_id}/progress"),
    Endpoint(path="/training/sessions/{session_id}/progress-unified"),
    Endpoint(path="/training/jobs/{job_id}"),
    Endpoint(path="/training/directories", query={"path": "{root_path}", "include_training_status": "true"}),
    Endpoint(path="/training/directories", query={"path": "{session_path}", "include_training_status": "true"}),
    Endpoint(path="/training/directories/ignored"),
    Endpoint(path="/faces/sessions/{face_session_id}"),
    Endpoint(path="/faces/persons/{person_id}"),
    Endpoint(path="/images/{asset_id}"),
)


class ForgottenEndpointError(Exception):
    """The gateway offers a list that is not measured."""


def offered(document: Mapping[str, Any]) -> list[Endpoint]:
    """Those of ENDPOINTS that a gateway with this OpenAPI document has.

    Raises ForgottenEndpointError where the document has a GET with pages that is none of them.
    """
    gets = {path.removeprefix(API): methods["get"] for path, methods in document["paths"].items() if "get" in methods}
    shapes = {_shape(path): operation for path, operation in gets.items()}
    with_pages = {
        shape
        for shape, operation in shapes.items()
        if any(parameter.get("name") == "page" for parameter in operation.get("parameters", ()))
    }
    if forgotten := with_pages - {_shape(endpoint.path) for endpoint in ENDPOINTS if endpoint.total is not None}:
        raise ForgottenEndpointError(f"not measured: {', '.join(sorted(forgotten))}; add them to ENDPOINTS")
    return [endpoint for endpoint in ENDPOINTS if _shape(endpoint.path) in shapes]


def _shape(path: str) -> str:
    """A path without the names of its parameters."""
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))
