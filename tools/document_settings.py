"""Writes the table of settings in docs/operations.md from the settings classes, or checks that it is up to date.

python tools/document_settings.py [--check]
"""

import sys
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from triptych_cluster.main import ClusterSettings
from triptych_common.settings import ProcessSettings
from triptych_embedder.main import EmbedderSettings
from triptych_facedetect.main import FaceDetectSettings
from triptych_gateway.settings import GatewaySettings
from triptych_progress.main import ProgressSettings

PAGE: Final = Path(__file__).parent.parent / "docs" / "operations.md"
BEGIN: Final = "<!-- settings: written by `make docs` -->\n"
END: Final = "<!-- end of settings -->\n"
PROCESSES: Final[dict[str, type[ProcessSettings]]] = {
    "gateway": GatewaySettings,
    "embedder": EmbedderSettings,
    "facedetect": FaceDetectSettings,
    "cluster": ClusterSettings,
    "progress": ProgressSettings,
}


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
    return f"`{field.default}`"


def table() -> str:
    """One row per variable; where processes differ in a default or a meaning, one row each."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for process, settings in PROCESSES.items():
        for name, field in settings.model_fields.items():
            if not field.description:
                sys.exit(f"{settings.__name__}.{name} has no docstring")
            meaning = " ".join(field.description.split())
            rows.setdefault((variable(name, field), default(field), meaning), []).append(process)
    lines = ["| variable | of | default | meaning |", "|---|---|---|---|"]
    for (name, value, meaning), processes in sorted(rows.items()):
        of = "all" if len(processes) == len(PROCESSES) else ", ".join(processes)
        lines.append(f"| `{name}` | {of} | {value} | {meaning} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write, or check with --check (exit status 1 where the page is not up to date)."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    written = f"{before}{BEGIN}{table()}{END}{after}"
    if "--check" in sys.argv[1:]:
        if written != page:
            sys.exit("The table of settings in docs/operations.md is not up to date: run `make docs`.")
    else:
        PAGE.write_text(written)


if __name__ == "__main__":
    main()
