"""Known vulnerabilities in what is locked: `make audit`. What is not in accepted.toml fails it.

python -m tools.supply_chain.audit

Where the data cannot be reached, that is said and nothing fails; an audit that knew nothing is never told as one that
found nothing.
"""

import datetime
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
LOCKS: Final = ("constraints.txt", "requirements-weights.txt")
_UNREACHED: Final = re.compile(r"connect|timed? ?out|ENOTFOUND|EAI_AGAIN|ECONN|\b(?:40[345]|5\d\d)\b", re.IGNORECASE)
"""What failures of the network say, in pip-audit's and npm's last words."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A known vulnerability of something that is locked."""

    package: str
    version: str
    names: tuple[str, ...]
    """Its id, and its names elsewhere."""
    mended_in: tuple[str, ...] = ()

    def __str__(self) -> str:
        mended = f"mended in {', '.join(self.mended_in)}" if self.mended_in else "not mended yet"
        return f"{self.package} {self.version}: {self.names[0]}, {mended}"


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A finding that does no harm here, for a while."""

    id: str
    package: str
    reason: str
    until: datetime.date


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What one source of data told of the packages it was asked for."""

    of: str
    audited: int
    findings: tuple[Finding, ...] = ()
    unknown: tuple[str, ...] = ()
    """Packages of which it knew nothing."""
    unreached: str | None = None
    """Why it could not be asked."""


class AuditError(RuntimeError):
    """An audit failed, and not for want of a network."""


def python_audit(told: str, failed: str = "") -> Audit:
    """What `pip-audit --format json` printed, and what it said beside that.

    Raises:
        AuditError: it printed no result, and not because it reached nobody.
    """
    if not told.strip():
        return Audit(of="Python packages", audited=0, unreached=_why_unreached("pip-audit", failed))
    packages = json.loads(told)["dependencies"]
    findings = tuple(
        Finding(
            package=package["name"],
            version=package["version"],
            names=(found["id"], *found["aliases"]),
            mended_in=tuple(found["fix_versions"]),
        )
        for package in packages
        for found in package.get("vulns", ())
    )
    unknown = tuple(package["name"] for package in packages if "skip_reason" in package)
    audited = len(packages) - len(unknown)
    return Audit(
        of="Python packages",
        audited=audited,
        findings=findings,
        unknown=unknown,
        unreached=None if audited else "the index has no data of vulnerabilities",
    )


def npm_audit(told: str, of: str) -> Audit:
    """What `npm audit --json` printed. An advisory is told once, for the package that it is about.

    Raises:
        AuditError: it printed no result, and not because it reached nobody.
    """
    report: dict[str, Any] = json.loads(told)
    if "auditReportVersion" not in report:
        return Audit(of=of, audited=0, unreached=_why_unreached("npm audit", str(report.get("message", told))))
    findings = {
        advisory["url"]: Finding(package=name, version=advisory["range"], names=(advisory["url"].rpartition("/")[2],))
        for name, package in report["vulnerabilities"].items()
        for advisory in package["via"]
        if isinstance(advisory, dict)
    }
    return Audit(of=of, audited=report["metadata"]["dependencies"]["total"], findings=tuple(findings.values()))


def _why_unreached(program: str, said: str) -> str:
    last = said.strip().rpartition("\n")[2]
    if not _UNREACHED.search(last):
        raise AuditError(f"{program} failed: {last or 'it said nothing'}")
    return last


def accepted_in(text: str) -> tuple[Accepted, ...]:
    """The entries of accepted.toml. Raises TypeError where one lacks something."""
    return tuple(Accepted(**entry) for entry in tomllib.loads(text).get("accepted", ()))


def complaints(findings: Iterable[Finding], accepted: Iterable[Accepted], today: datetime.date) -> Iterator[str]:
    """Findings that nobody has accepted, or not for as long as this; and entries that nothing is found for any more."""
    by_name = {(entry.package, entry.id): entry for entry in accepted}
    met = set()
    for finding in findings:
        entries = [by_name[key] for name in finding.names if (key := (finding.package, name)) in by_name]
        met.update(entries)
        if not entries:
            yield str(finding)
        elif all(entry.until < today for entry in entries):
            yield f"{finding}; it was accepted until {max(entry.until for entry in entries)}"
    for entry in by_name.values():
        if entry not in met:
            yield f"accepted.toml: {entry.id} of {entry.package} is not found any more: take it out"


def audits() -> Iterator[Audit]:
    """Ask for everything that is locked; of the page, what becomes part of it and what builds it apart."""
    files = [argument for lock in LOCKS for argument in ("--requirement", lock)]
    program = str(Path(sys.executable).with_name("pip-audit"))
    options = ["--disable-pip", "--no-deps", "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run([program, *files, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    yield python_audit(done.stdout, done.stderr)
    for of, options in (("npm packages of the page", ["--omit=dev"]), ("npm packages that build it too", [])):
        command = ["npm", "audit", "--json", "--package-lock-only", *options]
        done = subprocess.run(command, cwd=ROOT / "ui", capture_output=True, text=True, check=False)
        yield npm_audit(done.stdout, of)


def main() -> None:
    """Print what was found and what could not be asked; exit status 1 where something is not accepted."""
    accepted = accepted_in((Path(__file__).parent / "accepted.toml").read_text())
    asked = list(audits())
    for audit in asked:
        if audit.unreached is not None:
            sys.stdout.write(f"NOT AUDITED: {audit.of}: {audit.unreached}\n")
        else:
            unknown = f"; nothing is known of {', '.join(audit.unknown)}" if audit.unknown else ""
            sys.stdout.write(f"{audit.of}: {audit.audited} audited, {len(audit.findings)} found{unknown}\n")
    whole = all(audit.unreached is None for audit in asked)
    findings = {finding for audit in asked for finding in audit.findings}
    # What was not asked for is not known to be gone.
    relevant = accepted if whole else [a for a in accepted if any(a.id in f.names for f in findings)]
    found = list(complaints(findings, relevant, datetime.datetime.now(tz=datetime.UTC).date()))
    for complaint in found:
        sys.stderr.write(f"{complaint}\n")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
