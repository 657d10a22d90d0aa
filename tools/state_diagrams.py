"""The states of sessions and runs as diagrams, from the table in the catalogue."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from triptych_gateway.catalog.states import RUN, SESSION

GONE = "[*]"


def session_states() -> str:
    """What leads from one status of a session to another."""
    return _diagram(SESSION)


def run_states() -> str:
    """Likewise of a run."""
    return _diagram(RUN)


def _diagram(table: Mapping[Any, Mapping[Any, str | None]]) -> str:
    lines = ["```mermaid", "stateDiagram-v2", f"    {GONE} --> pending"]
    for before, events in table.items():
        by_status: dict[str, list[str]] = defaultdict(list)
        for event, after in events.items():
            # What a button that was pressed already does is nothing, and is said in words.
            if after != before:
                by_status[after or GONE].append(event)
        lines += [f"    {before} --> {after}: {', '.join(names)}" for after, names in by_status.items()]
    return "\n".join([*lines, "```"]) + "\n"
