"""Writes what is generated under docs/, whole files and parts of pages, or checks that it is up to date.

python -m tools.document [--check]
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tools.contract_page import contract_page
from tools.errors_page import errors_page
from tools.metrics_table import metrics_table
from tools.openapi import openapi_document, openapi_json
from tools.settings_table import settings_table
from tools.state_diagrams import run_states, session_states
from tools.supply_chain.licences import licences_page

DOCS: Final = Path(__file__).parent.parent / "docs"
BEGIN: Final = "<!-- {name}: written by `make docs` -->\n"
END: Final = "<!-- end of {name} -->\n"
PARTS: Final[dict[str, dict[str, Callable[[], str]]]] = {
    "operations.md": {"settings": settings_table, "metrics": metrics_table},
    "states.md": {"session states": session_states, "run states": run_states},
}
"""Page → name of a part → what writes it."""
FILES: Final[dict[str, Callable[[], str]]] = {
    "openapi.json": openapi_json,
    "api-contract.md": lambda: contract_page(openapi_document()),
    "errors.md": errors_page,
    "licences.md": licences_page,
}
"""File → what writes all of it."""


def with_parts(page: str, name_of_page: str) -> str:
    """The page with each part as it is to be. Raises ValueError where the page has no place for one."""
    for name, part in PARTS[name_of_page].items():
        begin, end = BEGIN.format(name=name), END.format(name=name)
        before, _, rest = page.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"{name_of_page} has no lines {begin!r} and {end!r}")
        page = f"{before}{begin}{part()}{end}{after}"
    return page


def generated() -> dict[str, str]:
    """Every file of docs/ in which something is generated, as it is to be."""
    pages = {name: with_parts((DOCS / name).read_text(), name) for name in PARTS}
    return pages | {name: write() for name, write in FILES.items()}


def main() -> None:
    """Write, or check with --check (exit status 1 where something is not up to date)."""
    for name, content in generated().items():
        path = DOCS / name
        if "--check" not in sys.argv[1:]:
            path.write_text(content)
        elif not path.is_file() or path.read_text() != content:
            sys.exit(f"What is generated in docs/{name} is not up to date: run `make docs`.")


if __name__ == "__main__":
    main()
