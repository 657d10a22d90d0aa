"""Queries of Prometheus: each metric and label in them against the collectors."""

import re
from collections.abc import Iterator
from typing import Any, Final

import promql_parser

from tools.metrics_table import KnownMetric

TARGET_LABELS: Final = frozenset({"process", "instance", "job"})
"""What Prometheus gives each series of a target; `process` is given by our configuration."""
_GRAFANA_INTERVALS: Final = re.compile(r"\$__(rate_interval|interval|range)\b")


def expression_problems(expression: str, known: dict[str, KnownMetric]) -> Iterator[str]:
    """Metrics and labels of a query that no process serves."""
    try:
        parsed = _parse(expression)
    except ValueError as error:
        yield f"{expression.strip()!r} is no query: {error}"
        return
    labels = set(TARGET_LABELS)
    groupings: list[str] = []
    for node in _nodes(parsed):
        if isinstance(node, promql_parser.VectorSelector):
            yield from _selector_problems(node, known)
            if node.name in known:
                labels |= known[node.name].labels
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            groupings += node.modifier.labels
    yield from (f"no metric of {expression.strip()!r} has the label {one}" for one in groupings if one not in labels)


def labels_of(expression: str, known: dict[str, KnownMetric]) -> set[str]:
    """Labels that the series of a query's metrics have."""
    parsed = _parse(expression)
    names = [node.name for node in _nodes(parsed) if isinstance(node, promql_parser.VectorSelector)]
    return set(TARGET_LABELS).union(*(known[name].labels for name in names if name in known))


def _parse(expression: str) -> Any:
    """The query with some interval in the place of Grafana's. Raises ValueError."""
    return promql_parser.parse(_GRAFANA_INTERVALS.sub("5m", expression))


def _nodes(node: Any) -> Iterator[Any]:
    """A query's parts, itself among them."""
    yield node
    if isinstance(node, promql_parser.MatrixSelector):
        yield from _nodes(node.vector_selector)
    for field in ("expr", "lhs", "rhs"):
        if (part := getattr(node, field, None)) is not None:
            yield from _nodes(part)
    for part in getattr(node, "args", ()):
        yield from _nodes(part)


def _selector_problems(selector: Any, known: dict[str, KnownMetric]) -> Iterator[str]:
    metric = known.get(selector.name)
    if metric is None:
        yield f"there is no metric {selector.name}"
        return
    for matcher in selector.matchers.matchers:
        if matcher.name not in metric.labels | TARGET_LABELS:
            yield f"{selector.name} has no label {matcher.name}"
        if matcher.name == "process" and matcher.value != ".+":
            for process in sorted(set(matcher.value.split("|")) - set(metric.processes)):
                yield f"{selector.name} is not served by {process}"
