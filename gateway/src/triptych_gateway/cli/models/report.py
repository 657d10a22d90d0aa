"""What there is to run and in which state, as a table and as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from triptych_common.model_store import read_manifest
from triptych_common.model_store.manifest import PHOTO_SERVICES, Entry, PhotoService
from triptych_common.model_store.state import EXPORT_BACKEND, Finding, State, glance, glance_unpinned, unpinned
from triptych_gateway.cli.models.choice import BUNDLED, Choice
from triptych_gateway.cli.models.readiness import weights_of
from triptych_gateway.cli.models.selection import stored_to_name
from triptych_gateway.cli.models.store_view import megabytes
from triptych_gateway.cli.terminal.text import printable

_STATE_STYLES: Final = {
    State.WHOLE: "green",
    State.ABSENT: "bright_black",
    State.PARTIAL: "yellow",
    State.DAMAGED: "red",
    State.UNPINNED: "yellow",
}
_OWN_SERVICES: Final[Mapping[str, PhotoService]] = {
    "open_clip": "embedder",
    EXPORT_BACKEND: "embedder",
    "insightface": "facedetect",
}
"""Backend → the service whose weights a directory of that name holds."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Weights, as a person sees them."""

    finding: Finding
    service: PhotoService | None
    model: str
    """As TRIPTYCH_MODEL takes it; empty for a directory of a backend that is not known."""
    purpose: str
    entry: Entry | None = None
    """As it is pinned; None for what was made or put here."""
    in_use: bool = False
    """Whether its service runs it from its next start."""

    @property
    def full_bytes(self) -> int:
        """How much it takes, or would."""
        return self.finding.size_bytes if self.entry is None else self.entry.size_bytes

    @property
    def licence(self) -> str:
        """Its licence in a word or two; empty where it is not known."""
        if self.entry is None:
            return ""
        return "non-commercial" if self.entry.licence.non_commercial else self.entry.licence.name


def rows(models_dir: Path, choices: Mapping[PhotoService, Choice]) -> list[Row]:
    """Everything that is pinned, then everything else that lies in the models directory."""
    used: dict[str | None, PhotoService] = {}
    for service in PHOTO_SERVICES:
        weights = weights_of(service, choices[service].model, models_dir)
        if weights is not None:
            used[weights.entry] = service
    found = [
        Row(
            finding=glance(entry, models_dir),
            service=entry.service,
            model=entry.model,
            purpose=entry.purpose,
            entry=entry,
            in_use=entry.name in used,
        )
        for entry in read_manifest().entries
    ]
    for name in unpinned(read_manifest(), models_dir):
        backend, _, model = name.partition("/")
        service_of = _OWN_SERVICES.get(backend)
        found.append(
            Row(
                finding=glance_unpinned(name, models_dir),
                service=service_of,
                model=f"{backend}:{stored_to_name(model)}" if service_of else "",
                purpose="exported here" if backend == EXPORT_BACKEND else "put here by somebody",
                in_use=name in used,
            )
        )
    return found


def as_json(models_dir: Path, found: list[Row], choices: Mapping[PhotoService, Choice]) -> str:
    """One line of ASCII JSON."""
    return json.dumps(
        {
            "models_directory": str(models_dir),
            "chosen": {service: {"model": choice.model, "by": choice.by} for service, choice in choices.items()},
            "models": [_as_object(row) for row in found],
        }
    )


def _as_object(row: Row) -> dict[str, Any]:
    entry = row.entry
    licence = None if entry is None else entry.licence.model_dump()
    return {
        "name": row.finding.name,
        "service": row.service,
        "model": row.model or None,
        "state": str(row.finding.state),
        "problems": list(row.finding.problems),
        "size_bytes": row.full_bytes,
        "present_bytes": row.finding.size_bytes,
        "download_bytes": None if entry is None else entry.download_bytes,
        "licence": licence,
        "purpose": row.purpose,
        "in_use": row.in_use,
    }


def as_table(found: list[Row]) -> Table:
    """One row for each; a bullet before what runs."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bright_black")
    table.add_column("")
    table.add_column("Name", overflow="fold")
    table.add_column("State", no_wrap=True)
    table.add_column("Size", justify="right", no_wrap=True)
    table.add_column("Licence", no_wrap=True)
    for row in found:
        state = str(row.finding.state)
        if row.finding.state is State.PARTIAL:
            state = f"{state}, {megabytes(row.finding.size_bytes)}"
        table.add_row(
            Text("●" if row.in_use else "", style="cyan"),
            Text.assemble(printable(row.finding.name), "\n", (row.purpose, "bright_black")),
            Text(state, style=_STATE_STYLES[row.finding.state]),
            megabytes(row.full_bytes),
            Text(row.licence),
        )
    return table


def choice_lines(choices: Mapping[PhotoService, Choice]) -> list[str]:
    """What each service runs from its next start, and what has chosen it."""
    lines: list[str] = []
    for service, choice in choices.items():
        is_bundled_embedder = service == "embedder" and choice.model == BUNDLED
        notice = "; it comes with the installation, and is not CLIP" if is_bundled_embedder else ""
        lines.append(printable(f"{service}: {choice.model}, {choice.origin()}{notice}"))
    return lines
