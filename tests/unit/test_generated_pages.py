"""Pages under docs/ say what the code says: every metric by its name, and generated parts as they would be now."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.document import DOCS, FILES, PARTS, generated
from tools.metrics_table import metrics_table

ROOT = DOCS.parent
PAGE = DOCS / "operations.md"
NAME = re.compile(r"triptych_[a-z_]+")
KINDS = {
    "Counter": "counter",
    "CounterMetricFamily": "counter",
    "Gauge": "gauge",
    "GaugeMetricFamily": "gauge",
    "Histogram": "histogram",
    "HistogramMetricFamily": "histogram",
    "Summary": "summary",
    "SummaryMetricFamily": "summary",
}


def metrics_in(source: Path) -> Iterator[tuple[str, str]]:
    """Name, as Prometheus asks for it, and type of every metric that a module makes."""
    for node in ast.walk(ast.parse(source.read_text())):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        maker = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        name = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
        if maker in KINDS and isinstance(name, str) and name.startswith("triptych_"):
            kind = KINDS[maker]
            yield f"{name.removesuffix('_total')}_total" if kind == "counter" else name, kind


@functools.cache
def metrics_of_the_code() -> dict[str, str]:
    """Name → type of every metric of every distribution."""
    sources = [path for folder in ("common", "gateway", "services") for path in (ROOT / folder).rglob("src/**/*.py")]
    return dict(metric for source in sources for metric in metrics_in(source))


def metrics_of_the_table(page: str) -> dict[str, str]:
    """Name → type as the rows of a table say: name, process, type, meaning."""
    rows = re.findall(rf"^\| `({NAME.pattern})` \| [^|]+ \| (\w+) \| [^|]+ \|$", page, flags=re.MULTILINE)
    return dict(rows)


def section(title: str) -> str:
    """A section of the page."""
    _, _, rest = PAGE.read_text().partition(f"\n## {title}\n")
    assert rest, f"{PAGE.name} has a section {title}"
    return rest.partition("\n## ")[0]


def test_the_section_of_metrics_names_exactly_those_of_the_code() -> None:
    in_code = metrics_of_the_code()
    assert in_code, "the metrics are found"
    assert set(NAME.findall(section("Metrics"))) == in_code.keys()
    assert metrics_of_the_table(section("Metrics")) == in_code


def test_the_collectors_serve_exactly_the_metrics_of_the_code() -> None:
    assert metrics_of_the_table(metrics_table()) == metrics_of_the_code()


@pytest.fixture(scope="module")
def written_now() -> dict[str, str]:
    return generated()


@pytest.mark.parametrize("name", [*PARTS, *FILES])
def test_what_is_generated_is_up_to_date(name: str, written_now: dict[str, str]) -> None:
    assert written_now[name] == (DOCS / name).read_text(), "run `make docs`"
