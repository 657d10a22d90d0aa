"""Dashboards and alerts pass as they are, and what would show nothing, or never ring, is found."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.deployment.monitoring import (
    MONITORING,
    RUNBOOK,
    find_promtool,
    monitoring_problems,
    promtool_problems,
)
from tools.metrics_table import known_metrics


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of it all, to be spoilt."""
    copied = tmp_path / "monitoring"
    shutil.copytree(MONITORING, copied)
    return copied


def change_alerts(folder: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    path = folder / "alerts.yaml"
    alerts = yaml.safe_load(path.read_text())
    change(alerts["groups"][0]["rules"])
    path.write_text(yaml.safe_dump(alerts))


def change_dashboard(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "grafana" / "triptych.json"
    dashboard = json.loads(path.read_text())
    change(dashboard)
    path.write_text(json.dumps(dashboard))


def alert(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Any]:
    """Spoil the first alert."""
    return lambda folder: change_alerts(folder, lambda rules: change(rules[0]))


def panel(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Any]:
    """Spoil the first panel that shows something."""
    return lambda folder: change_dashboard(folder, lambda dashboard: change(dashboard["panels"][1]))


def ask(query: str) -> Callable[[Path], Any]:
    return panel(lambda one: one["targets"][0].update(expr=query))


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "an alert on a metric that there is not": (
        alert(lambda rule: rule.update(expr="triptych_gateway_up == 0")),
        "TriptychGatewayAway: there is no metric triptych_gateway_up",
    ),
    "an alert on a label that there is not": (
        alert(lambda rule: rule.update(expr='triptych_publisher_connected{worker="a"} == 0')),
        "triptych_publisher_connected has no label worker",
    ),
    "an alert on a process that does not serve the metric": (
        alert(lambda rule: rule.update(expr='triptych_publisher_connected{process="gateway"} == 0')),
        "triptych_publisher_connected is not served by gateway",
    ),
    "an alert that is no query": (alert(lambda rule: rule.update(expr="sum by (")), "is no query"),
    "an alert that tells of a label that there is not": (
        alert(lambda rule: rule["annotations"].update(summary="{{ $labels.session }} is away.")),
        "tells of the label session",
    ),
    "an alert of an unknown severity": (
        alert(lambda rule: rule["labels"].update(severity="page")),
        "alerts.yaml: groups.0.rules.0.labels.severity",
    ),
    "an alert with a field that Prometheus has not got": (
        alert(lambda rule: rule.update(four="5m")),
        "alerts.yaml: groups.0.rules.0.four",
    ),
    "an alert that nobody explains": (
        alert(lambda rule: rule.update(alert="TriptychSomething")),
        "TriptychSomething: docs/operations.md does not say what to do",
    ),
    "an explanation of no alert": (
        alert(lambda rule: rule.update(alert="TriptychSomething")),
        "TriptychGatewayAway: docs/operations.md explains it, and there is none",
    ),
    "a panel on a metric that there is not": (
        ask("sum(rate(triptych_photos_total[$__rate_interval]))"),
        "Progress: there is no metric triptych_photos_total",
    ),
    "a histogram without its suffix": (
        ask("rate(triptych_progress_lag_seconds[5m])"),
        "there is no metric triptych_progress_lag_seconds",
    ),
    "a panel by a label that there is not": (
        ask("max by (worker) (triptych_progress_session_percentage)"),
        "has the label worker",
    ),
    "a legend of a label that there is not": (
        panel(lambda one: one["targets"][0].update(legendFormat="{{user}}")),
        "Progress: tells of the label user",
    ),
    "a panel that asks one Prometheus alone": (
        panel(lambda one: one["targets"][0]["datasource"].update(uid="abc")),
        "panels.1.targets.0.datasource.uid",
    ),
    "a panel without a query": (panel(lambda one: one.update(targets=[])), "Progress: asks for nothing"),
    "a panel over another": (panel(lambda one: one["gridPos"].update(w=9)), "lies over Progress"),
    "a panel that is too wide": (panel(lambda one: one["gridPos"].update(w=24, x=1)), "Progress: is wider"),
    "two panels of one id": (panel(lambda one: one.update(id=1)), "two panels have one id"),
    "no dashboard": (lambda folder: shutil.rmtree(folder / "grafana"), "there is no dashboard"),
    "no rules": (
        lambda folder: (folder / "prometheus.yaml").write_text("{rule_files: [rules.yaml], scrape_configs: []}"),
        "prometheus.yaml: there is no rules.yaml",
    ),
    "a target of another process": (
        lambda folder: (folder / "prometheus.yaml").write_text(
            "scrape_configs: [{job_name: x, static_configs: [{targets: [a], labels: {process: clip}}]}]"
        ),
        "prometheus.yaml: clip is no process",
    ),
    "pods without the label": (
        lambda folder: (folder / "prometheus-kubernetes.yaml").write_text("scrape_configs: [{job_name: x}]"),
        "x gives its targets no label process",
    ),
}


def test_what_is_there_is_in_order() -> None:
    assert list(monitoring_problems()) == []


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_found(what: str, folder: Path) -> None:
    spoil, complaint = WRONG[what]

    spoil(folder)

    assert any(complaint in problem for problem in monitoring_problems(folder)), list(monitoring_problems(folder))


def test_every_metric_of_ours_is_shown_or_watched() -> None:
    written = "".join(path.read_text() for path in MONITORING.rglob("*") if path.is_file() and "test" not in path.name)
    ours = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in known_metrics()}

    missing = {
        name
        for name in ours
        if name.startswith("triptych_") and not re.search(rf"\b{name}(_bucket|_sum|_count)?\b", written)
    }

    assert missing == {
        # What is sent is seen as what is folded; how often and by how many is for the curious.
        *("triptych_publisher_reports_total", "triptych_publisher_events_total"),
        *("triptych_progress_sessions", "triptych_photo_requests"),
    }


def test_the_runbook_is_a_part_of_the_documentation() -> None:
    assert list(monitoring_problems(runbook="")) != []
    assert list(monitoring_problems(runbook=RUNBOOK.read_text())) == []


@pytest.mark.skipif(find_promtool() is None, reason="promtool is not installed")
def test_the_rules_own_tests_find_a_rule_that_does_not_ring(folder: Path) -> None:
    assert list(promtool_problems(folder)) == []

    configuration = folder / "prometheus.yaml"
    configuration.write_text(configuration.read_text().replace("scrape_interval: 15s", "scrape_interval: soon"))
    assert any("soon" in problem for problem in promtool_problems(folder))
    change_alerts(folder, lambda rules: rules[0].update(expr='absent(up{process="gateway"})'))

    assert any("TriptychGatewayAway" in problem for problem in promtool_problems(folder))
