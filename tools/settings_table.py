"""The table of settings, from the settings classes."""

import sys
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from triptych_cluster.main import ClusterSettings
from triptych_common.settings import ProcessSettings
from triptych_embedder.main import EmbedderSettings
from triptych_facedetect.main import FaceDetectSettings
from triptych_gateway.cli.settings import CommandSettings
from triptych_gateway.settings import DatabaseSettings, GatewaySettings, MigrationSettings
from triptych_progress.main import ProgressSettings

PROCESSES: Final[dict[str, type[ProcessSettings]]] = {
    "gateway": GatewaySettings,
    "embedder": EmbedderSettings,
    "facedetect": FaceDetectSettings,
    "cluster": ClusterSettings,
    "progress": ProgressSettings,
}
COMMAND: Final[dict[str, type[BaseModel]]] = {"`triptych`": CommandSettings}
"""What is read by the command line, and not by the processes that it starts."""
MIGRATE: Final = "`triptych-migrate`"
"""Reads, beside what gateways read of the database, something of its own."""


def variable(name: str, field: FieldInfo) -> str:
    """The environment variable of a setting."""
    alias: Any = field.validation_alias
    return str(alias.choices[0]) if alias is not None else f"TRIPTYCH_{name.upper()}"


def default(field: FieldInfo) -> str:
    """A setting's default, as it would be written."""
    if field.default_factory is not None:
        return "one per processor"
    if field.default is PydanticUndefined:
        return "required"
    if isinstance(field.default, tuple):
        return f"`{','.join(field.default)}`" if field.default else "none"
    return f"`{field.default}`" if field.default not in ("", None) else "none"


def settings_table() -> str:
    """One row per variable; where processes differ in a default or a meaning, one row each."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for process, settings in [*PROCESSES.items(), *COMMAND.items()]:
        for name, field in settings.model_fields.items():
            if not field.description:
                sys.exit(f"{settings.__name__}.{name} has no docstring")
            meaning = " ".join(field.description.split())
            rows.setdefault((variable(name, field), default(field), meaning), []).append(process)
    for name in MigrationSettings.model_fields.keys() - DatabaseSettings.model_fields.keys():
        field = MigrationSettings.model_fields[name]
        rows[variable(name, field), default(field), " ".join((field.description or "").split())] = [MIGRATE]
    lines = ["| variable | of | default | meaning |", "|---|---|---|---|"]
    for (name, value, meaning), processes in sorted(rows.items()):
        of = "all" if len(processes) == len(PROCESSES) else ", ".join(processes)
        lines.append(f"| `{name}` | {of} | {value} | {meaning} |")
    return "\n".join(lines) + "\n"
