"""What generated requests came upon: how many there were, what was answered, and what should not have been."""

import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field

SERVER_ERROR = "server error"


@dataclass(kw_only=True)
class Findings:
    """Of a whole run."""

    cases: int = 0
    answers: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    """Operation → status → how often."""
    wrong: dict[tuple[str, str], str] = field(default_factory=dict)
    """Operation and kind of failure → the first of its kind."""
    server_errors: int = 0
    schema_violations: int = 0

    def answered(self, operation: str, status: int) -> None:
        """Note an answer."""
        self.cases += 1
        self.answers[operation][status] += 1

    def is_wrong(self, operation: str, kind: str, what: str) -> None:
        """Note what should not have been."""
        if kind == SERVER_ERROR:
            self.server_errors += 1
        else:
            self.schema_violations += 1
        self.wrong.setdefault((operation, kind), what)

    def never_succeeded(self) -> list[str]:
        """Operations of which no request reached anything."""
        return sorted(name for name, statuses in self.answers.items() if min(statuses) >= 400)

    def report(self) -> None:
        """Tell a person, on standard error."""
        for name, statuses in sorted(self.answers.items()):
            counts = ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))
            print(f"{name}  {counts}", file=sys.stderr)
        for (name, kind), what in self.wrong.items():
            print(f"\n{name}: {kind}\n{what}", file=sys.stderr)
        for name in self.never_succeeded():
            print(f"\n{name}: no request reached anything", file=sys.stderr)
