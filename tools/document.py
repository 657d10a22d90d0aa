"""Writes what is generated in docs/operations.md, or checks that it is up to date.

python -m tools.document [--check]
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tools.metrics_table import metrics_table
from tools.settings_table import settings_table

PAGE: Final = Path(__file__).parent.parent / "docs" / "operations.md"
BEGIN: Final = "<!-- {name}: written by `make docs` -->\n"
END: Final = "<!-- end of {name} -->\n"
TABLES: Final[dict[str, Callable[[], str]]] = {"settings": settings_table, "metrics": metrics_table}


def with_tables(page: str) -> str:
    """The page with each table as it is to be. Raises ValueError where the page has no place for one."""
    for name, table in TABLES.items():
        begin, end = BEGIN.format(name=name), END.format(name=name)
        before, _, rest = page.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"{PAGE.name} has no lines {begin!r} and {end!r}")
        page = f"{before}{begin}{table()}{end}{after}"
    return page


def main() -> None:
    """Write, or check with --check (exit status 1 where the page is not up to date)."""
    page = PAGE.read_text()
    written = with_tables(page)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(written)
    elif written != page:
        sys.exit("The tables in docs/operations.md are not up to date: run `make docs`.")


if __name__ == "__main__":
    main()
