"""What is expected: the page with routes and callers, read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

PAGE: Final = Path(__file__).with_name("authorisation.md")
NOTHING: Final = "nothing"
"""What a route needs that is for everybody."""
PASSES: Final = "yes"

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, kw_only=True)
class Table:
    """Who may what."""

    needs: Mapping[str, str]
    """Route, such as ``GET /health`` → what it needs."""
    answers: Mapping[str, Mapping[str, str]]
    """Caller → what is needed → ``yes``, 401 or 403."""

    def expected(self, route: str, caller: str) -> str:
        """What a caller is answered."""
        return self.answers[caller][self.needs[route]]


def read_table(page: str) -> Table:
    """The two tables of the page. Raises ValueError for a line that is twice there, or of another width."""
    routes, callers = _sections(page)
    _, *rows = routes
    needs = _unique([(route, needed) for route, needed in rows])
    (_, *columns), *rows = callers
    answers = _unique([(caller, dict(zip(columns, told, strict=True))) for caller, *told in rows])
    if unknown := set(needs.values()) - set(columns):
        raise ValueError(f"no column says what {sorted(unknown)} is")
    return Table(needs=needs, answers=answers)


def _sections(page: str) -> Iterator[list[list[str]]]:
    for section in page.split("\n## ")[1:]:
        lines = [line for line in section.splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        yield [cells[0], *cells[2:]]


def _unique(rows: list[tuple[str, ValueT]]) -> dict[str, ValueT]:
    found = dict(rows)
    if len(found) != len(rows):
        raise ValueError("a line is twice in the table")
    return found
