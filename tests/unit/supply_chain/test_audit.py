"""An audit tells what it found, what nobody has accepted, and that it could ask nobody."""

import datetime
import json
from typing import Any

import pytest

from tools.supply_chain.audit import (
    Accepted,
    Audit,
    AuditError,
    Finding,
    accepted_in,
    complaints,
    npm_audit,
    python_audit,
)

TODAY = datetime.date(2026, 11, 27)
FOUND = Finding(package="pillow", version="1.0", names=("PYSEC-1", "CVE-1"), mended_in=("1.1",))


def accepted(**changes: Any) -> Accepted:
    return Accepted(
        **{"id": "CVE-1", "package": "pillow", "reason": "It is not called.", "until": TODAY} | changes  # type: ignore[arg-type]
    )


def test_what_pip_audit_found_is_told() -> None:
    vulnerability = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["1.1"], "description": ""}
    packages = [
        {"name": "pillow", "version": "1.0", "vulns": [vulnerability]},
        {"name": "numpy", "version": "2.0", "vulns": []},
        {"name": "ours", "skip_reason": "not found on PyPI"},
    ]

    audit = python_audit(json.dumps({"dependencies": packages}))

    assert audit == Audit(of="Python packages", audited=2, findings=(FOUND,), unknown=("ours",))


def test_an_audit_that_knew_of_no_package_found_nothing_out() -> None:
    skipped = [{"name": name, "skip_reason": "not found on PyPI"} for name in ("pillow", "numpy")]

    audit = python_audit(json.dumps({"dependencies": skipped}))

    assert audit.audited == 0
    assert audit.unreached == "the index has no data of vulnerabilities"


def test_an_advisory_of_npm_is_told_once_for_the_package_it_is_about() -> None:
    advisory = {"url": "https://github.com/advisories/GHSA-1", "range": "<1.2", "title": "", "source": 1}
    report = {
        "auditReportVersion": 2,
        "vulnerabilities": {"svelte": {"via": [advisory]}, "needs-it": {"via": ["svelte"]}},
        "metadata": {"dependencies": {"total": 19}},
    }

    audit = npm_audit(json.dumps(report), "page")

    assert audit == Audit(
        of="page", audited=19, findings=(Finding(package="svelte", version="<1.2", names=("GHSA-1",)),)
    )


@pytest.mark.parametrize(
    "message",
    ["405 Method Not Allowed - POST https://…/bulk", "request to https://… failed, reason: connect ECONNREFUSED"],
)
def test_an_audit_that_reached_nobody_says_so(message: str) -> None:
    assert npm_audit(json.dumps({"message": message, "error": {}}), "page").unreached == message
    failed = "WARNING: something\nERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed"
    assert python_audit("", failed).unreached == "ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed"


def test_an_audit_that_failed_otherwise_is_no_audit_that_reached_nobody() -> None:
    with pytest.raises(AuditError, match="pip-audit failed: Traceback of something"):
        python_audit("", "Traceback of something")
    with pytest.raises(AuditError, match="npm audit failed: no lockfile"):
        npm_audit(json.dumps({"message": "no lockfile", "error": {}}), "page")


def test_a_finding_fails_unless_somebody_accepts_it_by_one_of_its_names_for_now() -> None:
    yesterday = TODAY - datetime.timedelta(days=1)
    assert list(complaints([FOUND], [], TODAY)) == ["pillow 1.0: PYSEC-1, mended in 1.1"]
    assert list(complaints([FOUND], [accepted()], TODAY)) == []
    assert list(complaints([FOUND], [accepted(id="PYSEC-1")], TODAY)) == []
    assert list(complaints([FOUND], [accepted(until=yesterday)], TODAY)) == [
        f"pillow 1.0: PYSEC-1, mended in 1.1; it was accepted until {yesterday}"
    ]
    assert "pillow 1.0: PYSEC-1, mended in 1.1" in list(complaints([FOUND], [accepted(package="numpy")], TODAY))


def test_what_is_accepted_and_not_found_any_more_is_to_be_taken_out() -> None:
    assert list(complaints([], [accepted()], TODAY)) == [
        "accepted.toml: CVE-1 of pillow is not found any more: take it out"
    ]


def test_an_acceptance_has_a_reason_and_an_end() -> None:
    entry = '[[accepted]]\nid = "CVE-1"\npackage = "pillow"\nreason = "It is not called."\nuntil = 2026-11-27\n'
    assert accepted_in(entry) == (accepted(),)
    with pytest.raises(TypeError, match="reason"):
        accepted_in('[[accepted]]\nid = "CVE-1"\npackage = "pillow"\nuntil = 2026-11-27\n')
