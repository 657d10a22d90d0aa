"""Streams of events, by hand: generated requests would wait for answers that do not end."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx

from tests.contract.generated_cases.findings import SERVER_ERROR, Findings
from tests.contract.generated_cases.seeded_stack import Seeded
from triptych_gateway.api.document import operations

EVENT_STREAM: Final = "text/event-stream"
_LAST_EVENT_IDS: Final = (None, "0", "1", "-1", "9" * 19, "9" * 40, "nonsense", "")
_IDS: Final = ("0", "-1", "x", str(2**63 - 1), str(2**63), "9" * 40)
_EVENT_NAMES: Final = {"progress", "complete", "error"}


def is_stream(operation: Mapping[str, Any]) -> bool:
    """Whether an operation answers a stream."""
    return any(EVENT_STREAM in answer.get("content", {}) for answer in operation["responses"].values())


def ask_streams(seeded: Seeded, document: dict[str, Any], findings: Findings) -> None:
    """Ask each stream for each known id and some that are not, with several last events."""
    for path, method, operation in operations(document):
        if not is_stream(operation):
            continue
        name = f"{method.upper()} {path}"
        for actual, last_event_id in itertools.product(_paths(path, seeded), _LAST_EVENT_IDS):
            headers = {} if last_event_id is None else {"last-event-id": last_event_id}
            with seeded.stack.client.stream("GET", actual, headers=headers) as answer:
                findings.answered(name, answer.status_code)
                if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                    findings.is_wrong(name, SERVER_ERROR, f"{actual}: {answer.status_code}")
                elif wrong := _wrong(answer, operation):
                    findings.is_wrong(name, "stream", f"{actual}, last event {last_event_id}: {wrong}")


def _paths(path: str, seeded: Seeded) -> Iterator[str]:
    before, parameter, after = path.partition("{")
    if not parameter:
        yield path
        return
    name, _, rest = after.partition("}")
    for value in (*seeded.known.get(name, ()), *_IDS):
        yield f"{before}{value}{rest}"


def _wrong(answer: httpx.Response, operation: Mapping[str, Any]) -> str | None:
    described = operation["responses"].get(str(answer.status_code))
    if described is None:
        return f"{answer.status_code} is not described"
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if bool(kind) != bool(described.get("content")) or (kind and kind not in described["content"]):
        return f"{answer.status_code} comes as {kind or 'nothing'}"
    if kind != EVENT_STREAM:
        return None
    # The first event comes at once where a stream is of one session; that of all waits for one that is under way.
    if "/sessions/" not in answer.request.url.path:
        return None
    first = next(answer.iter_lines(), None)
    if first is not None and first.removeprefix("event: ") not in _EVENT_NAMES:
        return f"it begins with {first!r}"
    return None
