"""python -m tests.contract.generated_cases [--cases N]: N or more requests against a whole stack of its own.

Prints what was answered, what should not have been, and last one JSON object. Exit status 1 where anything is wrong.
"""

import argparse
import json
import math
import sys

from tests.contract.generated_cases.findings import Findings
from tests.contract.generated_cases.requests import ask_all
from tests.contract.generated_cases.seeded_stack import seeded_stack
from tests.contract.generated_cases.streams import ask_streams
from tools.openapi import openapi_document
from triptych_gateway.api.document import operations


def main() -> None:
    """Ask, and tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=2500, help="about as many requests in all")
    document, findings = openapi_document(), Findings()
    number = len(list(operations(document)))
    cases = parser.parse_args().cases
    with seeded_stack() as seeded:
        ask_streams(seeded, document, findings)
        ask_all(seeded, document, findings, cases_per_operation=math.ceil(cases / number))
        findings.report()
        for line in seeded.stack.gateway.log.read_text(errors="replace").splitlines():
            if "by a defect" in line:
                print(line[-800:], file=sys.stderr)
    summary = {
        "cases": findings.cases,
        "server_errors": findings.server_errors,
        "schema_violations": findings.schema_violations,
        "operations": number,
        "never_succeeded": findings.never_succeeded(),
    }
    print(json.dumps(summary))
    if findings.wrong or findings.never_succeeded():
        sys.exit(1)


if __name__ == "__main__":
    main()
