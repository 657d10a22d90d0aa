"""Dashboards and alerts: their form, each metric and label in them against the collectors, and a line on what to do."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tools.deployment.manifests import ROOT
from tools.deployment.queries import expression_problems, labels_of
from tools.metrics_table import KnownMetric, known_metrics
from tools.settings_table import PROCESSES

_WITHOUT_KUBERNETES: Final = "field kubernetes_sd_configs not found in type"
"""What Debian 12's promtool says, which is built without discovery in Kubernetes; Debian 13's has it."""
MONITORING: Final = ROOT / "deploy" / "monitoring"
RUNBOOK: Final = ROOT / "docs" / "operations.md"
_MADE_BY_PROMETHEUS: Final = {"up": KnownMetric(processes=tuple(PROCESSES), labels=frozenset())}
_IN_LEGENDS: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_IN_ANNOTATIONS: Final = re.compile(r"\$labels\.(\w+)")
_RUNBOOK_ROW: Final = re.compile(r"^\| `(Triptych\w+)` +\|", flags=re.MULTILINE)
_GRID_COLUMNS: Final = 24


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Annotations(_Strict):
    summary: str = Field(min_length=1)
    description: str = Field(min_length=1)


class _Labels(_Strict):
    severity: Literal["critical", "warning"]


class Rule(_Strict):
    """An alert, of Prometheus' rule files."""

    alert: str = Field(pattern="^Triptych[A-Za-z]+$")
    expr: str
    for_: str = Field(default="0m", alias="for", pattern=r"^\d+[smh]$")
    labels: _Labels
    annotations: _Annotations


class _Group(_Strict):
    name: str
    rules: list[Rule]


class RuleFile(_Strict):
    """A rule file."""

    groups: list[_Group] = Field(min_length=1)


class _Source(_Strict):
    type: Literal["prometheus"]
    uid: Literal["${source}"]
    """The dashboard's variable: which Prometheus, is for whoever looks."""


class _Target(_Strict):
    refId: str  # noqa: N815 - as Grafana names it
    datasource: _Source
    expr: str
    legendFormat: str  # noqa: N815


class _Place(_Strict):
    x: int = Field(ge=0, lt=_GRID_COLUMNS)
    y: int = Field(ge=0)
    w: int = Field(ge=1, le=_GRID_COLUMNS)
    h: int = Field(ge=1)


class _Panel(BaseModel):
    model_config = ConfigDict(strict=True)

    id: int
    type: Literal["row", "timeseries", "stat"]
    title: str = Field(min_length=1)
    gridPos: _Place  # noqa: N815
    targets: list[_Target] = []


class _Variable(BaseModel):
    name: Literal["source"]
    type: Literal["datasource"]
    query: Literal["prometheus"]


class _Templating(_Strict):
    variables: list[_Variable] = Field(alias="list", min_length=1, max_length=1)


class Dashboard(BaseModel):
    """The fields of a Grafana dashboard that must be right for it to load and show something."""

    model_config = ConfigDict(strict=True)

    uid: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    title: str = Field(min_length=1)
    schemaVersion: int = Field(ge=36)  # noqa: N815
    templating: _Templating
    panels: list[_Panel] = Field(min_length=1)


FormT = TypeVar("FormT", bound=BaseModel)


def monitoring_problems(folder: Path = MONITORING, runbook: str | None = None) -> Iterator[str]:
    """What is wrong with dashboards, alerts and configuration of Prometheus."""
    known = known_metrics() | _MADE_BY_PROMETHEUS
    try:
        rules = _read(folder / "alerts.yaml", RuleFile, yaml.safe_load)
        yield from _alert_problems(rules, known, runbook if runbook is not None else RUNBOOK.read_text())
        dashboards = sorted((folder / "grafana").glob("*.json"))
        if not dashboards:
            yield "grafana: there is no dashboard"
        for path in dashboards:
            dashboard = _read(path, Dashboard, json.loads)
            yield from (f"{path.name}, {problem}" for problem in _dashboard_problems(dashboard, known))
    except _WrongFormError as error:
        yield from error.problems
    for path in sorted(folder.glob("prometheus*.yaml")):
        yield from _configuration_problems(path)


def find_promtool() -> str | None:
    """Prometheus' own tool, where it is installed."""
    return shutil.which("promtool")


def promtool_problems(folder: Path = MONITORING) -> Iterator[str]:
    """What Prometheus' own tool finds, of the rules and by their tests; nothing where it is not installed."""
    program = find_promtool()
    if program is None:
        return
    for arguments in (
        ("check", "rules", "alerts.yaml"),
        ("test", "rules", "alerts_test.yaml"),
        *(("check", "config", path.name) for path in sorted(folder.glob("prometheus*.yaml"))),
    ):
        done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0 and _WITHOUT_KUBERNETES not in done.stdout + done.stderr:
            yield f"promtool {' '.join(arguments)}: {done.stdout}{done.stderr}".strip()


def _alert_problems(file: RuleFile, known: dict[str, KnownMetric], runbook: str) -> Iterator[str]:
    rules = [rule for group in file.groups for rule in group.rules]
    for rule in rules:
        told = _IN_ANNOTATIONS.findall(rule.annotations.summary + rule.annotations.description)
        yield from (f"{rule.alert}: {problem}" for problem in _query_problems(rule.expr, told, known))
    names = [rule.alert for rule in rules]
    explained = _RUNBOOK_ROW.findall(runbook)
    yield from (f"{name}: docs/operations.md does not say what to do" for name in names if name not in explained)
    yield from (f"{name}: docs/operations.md explains it, and there is none" for name in explained if name not in names)


def _query_problems(query: str, told: list[str], known: dict[str, KnownMetric]) -> Iterator[str]:
    """What is wrong with a query, and with the labels that are told of its answer."""
    problems = list(expression_problems(query, known))
    yield from problems
    if not problems:
        for label in sorted(set(told) - labels_of(query, known)):
            yield f"tells of the label {label}, which its metrics have not got"


def _dashboard_problems(dashboard: Dashboard, known: dict[str, KnownMetric]) -> Iterator[str]:
    ids = [panel.id for panel in dashboard.panels]
    if len(set(ids)) != len(ids):
        yield "two panels have one id"
    yield from _layout_problems(dashboard)
    for panel in dashboard.panels:
        if panel.type != "row" and not panel.targets:
            yield f"{panel.title}: asks for nothing"
        for target in panel.targets:
            told = _IN_LEGENDS.findall(target.legendFormat)
            yield from (f"{panel.title}: {problem}" for problem in _query_problems(target.expr, told, known))


def _layout_problems(dashboard: Dashboard) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard.panels:
        place = panel.gridPos
        if place.x + place.w > _GRID_COLUMNS:
            yield f"{panel.title}: is wider than the page"
        cells = product(range(place.x, place.x + place.w), range(place.y, place.y + place.h))
        others = {taken.setdefault(cell, panel.title) for cell in cells} - {panel.title}
        yield from (f"{panel.title}: lies over {other}" for other in sorted(others))


class _WrongFormError(Exception):
    """A file that has not got its form."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems


def _read(path: Path, form: type[FormT], parse: Callable[[str], Any]) -> FormT:
    """A file in its form. Raises _WrongFormError."""
    try:
        return form.model_validate(parse(path.read_text()))
    except ValidationError as error:
        raise _WrongFormError(
            [f"{path.name}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        ) from error


def _configuration_problems(path: Path) -> Iterator[str]:
    configuration = yaml.safe_load(path.read_text())
    for name in configuration.get("rule_files", []):
        if not (path.parent / name).is_file():
            yield f"{path.name}: there is no {name}"
    for job in configuration["scrape_configs"]:
        targets = job.get("static_configs", [])
        for process in (one["labels"].get("process") for one in targets):
            if process not in PROCESSES:
                yield f"{path.name}: {process} is no process"
        if not targets and "process" not in [rule.get("target_label") for rule in job.get("relabel_configs", [])]:
            yield f"{path.name}: {job['job_name']} gives its targets no label process"
