"""Backups: what CronJob and docs/operations.md tell the command, against its parser, and the Job that restores."""

import contextlib
import copy
import io
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from tools.deployment.manifests import ROOT, Manifest, called, named, pod_of
from tools.deployment.schemas import manifest_problems
from triptych_gateway.backup_command import parser

RUNBOOK: Final = ROOT / "docs" / "operations.md"
_UNDER_COMPOSE: Final = re.compile(r"docker compose run --rm backup ([^&\n]+)")
_RESTORING: Final = re.compile(r"\| jq '\.spec\.template\.spec\.containers\[0\]\.args = (\[.*?\])'")


def backup_problems(manifests: list[Manifest], runbook: str | None = None) -> Iterator[str]:
    """What is wrong with the CronJob of an overlay, and with the Job that the runbook makes of it."""
    told = runbook if runbook is not None else RUNBOOK.read_text()
    cron_job = named(manifests, "CronJob")["backup"]
    yield from _argument_problems(called(cron_job), pod_of(cron_job)["containers"][0]["args"])
    documented = _RESTORING.findall(told)
    if len(documented) != 1:
        yield f"{RUNBOOK.name}: does not tell once how a Job restores"
    for arguments in documented:
        job = _job_of(cron_job, json.loads(arguments))
        yield from _argument_problems(f"{RUNBOOK.name}, {called(job)}", json.loads(arguments))
        yield from manifest_problems([job])


def compose_backup_problems(runbook: str | None = None) -> Iterator[str]:
    """What is wrong with the runbook's commands under Compose."""
    told = runbook if runbook is not None else RUNBOOK.read_text()
    commands = _UNDER_COMPOSE.findall(told)
    if not {"create", "restore"} <= {command.split()[0] for command in commands}:
        yield f"{RUNBOOK.name}: does not tell how a backup is made and restored under Compose"
    for command in commands:
        yield from _argument_problems(f"{RUNBOOK.name}, {command}", command.split())


def _job_of(cron_job: Manifest, arguments: list[str]) -> Manifest:
    """What `kubectl create job restore --from=cronjob/backup` makes, with other arguments."""
    template = cron_job["spec"]["jobTemplate"]
    spec: dict[str, Any] = copy.deepcopy(template["spec"])
    spec["template"]["spec"]["containers"][0]["args"] = arguments
    annotations = {**template.get("metadata", {}).get("annotations", {}), "cronjob.kubernetes.io/instantiate": "manual"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "restore", "annotations": annotations},
        "spec": spec,
    }


def _argument_problems(where: str, arguments: list[str]) -> Iterator[str]:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parser().parse_args(arguments)
    except SystemExit:
        yield f"{where}: {said.getvalue().strip().splitlines()[-1]}"
