"""How cells ended: kept in a file from run to run, in a table, and in one JSON object."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.cells import Cell, not_applicable


@dataclass(kw_only=True)
class Outcome:
    """How one cell ended."""

    cell: str
    did: str
    """What was done, in words."""
    problems: list[str] = field(default_factory=list)
    """What was not as it must be; empty where it passed."""
    seconds: float = 0.0
    recovery_seconds: float | None = None
    """From the end of the last fault until work went on and every part answered; None where that was not seen."""
    outages: int = 0
    """Times that a reader found no gateway."""
    lost_photos: int = 0
    repeated_photos: int = 0
    computed_again: int = 0
    """Photos that were computed more than once."""
    computed_in_vain: int = 0
    """Photos that were computed although their result was stored."""
    differing: list[str] = field(default_factory=list)
    """Which results were not those of the undisturbed session."""
    backward_moves: int = 0

    @property
    def passed(self) -> bool:
        """Whether all was as it must be."""
        return not self.problems


@dataclass(frozen=True, kw_only=True)
class State:
    """A file with a line for each cell that was run; the last of a cell counts."""

    path: Path

    def outcomes(self) -> dict[str, Outcome]:
        """How each cell ended when it was run last."""
        return {outcome.cell: outcome for outcome in self._all()}

    def failures(self) -> Counter[str]:
        """How often each cell has failed, all runs of it counted."""
        return Counter(outcome.cell for outcome in self._all() if not outcome.passed)

    def add(self, outcome: Outcome) -> None:
        """Note how a cell ended."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")

    def logs(self, cell: str) -> Path:
        """Where the logs of a stack are kept on which a cell has failed."""
        return self.path.with_name("logs") / cell.replace(" ", "-")

    def _all(self) -> list[Outcome]:
        if not self.path.exists():
            return []
        return [Outcome(**json.loads(line)) for line in self.path.read_text(encoding="utf-8").splitlines()]


def table(cells: Sequence[Cell], state: State) -> str:
    """A line for each cell that has been run, and for those that cannot be."""
    outcomes, failures = state.outcomes(), state.failures()
    lines = [f"{'cell':<40} {'ended':<7} {'seconds':>7} {'recovery':>8} {'again':>5} {'outages':>7}"]
    for cell in cells:
        if outcome := outcomes.get(cell.name):
            recovery = "–" if outcome.recovery_seconds is None else f"{outcome.recovery_seconds:.1f}"
            earlier = failures[cell.name] - (not outcome.passed)
            said = [*([f"failed {earlier} times before"] if earlier else []), *outcome.problems]
            lines.append(
                f"{cell.name:<40} {'passed' if outcome.passed else 'FAILED':<7} {outcome.seconds:>7.1f} {recovery:>8} "
                f"{outcome.computed_again:>5} {outcome.outages:>7}  {'; '.join(said)}".rstrip()
            )
            if len(cell.blows) > 1:
                lines.append(f"  {outcome.did}")
    lines += [f"{name:<40} not applicable: {reason}" for name, reason in not_applicable()]
    return "\n".join(lines)


def summary(cells: Sequence[Cell], state: State) -> dict[str, Any]:
    """The figures of all chosen cells that have been run."""
    outcomes = state.outcomes()
    ran = [outcomes[cell.name] for cell in cells if cell.name in outcomes]
    recoveries = sorted(outcome.recovery_seconds for outcome in ran if outcome.recovery_seconds is not None)
    return {
        "cells": len(ran),
        "passed": sum(outcome.passed for outcome in ran),
        "left_to_run": len(cells) - len(ran),
        "failed_before": sum(state.failures()[outcome.cell] > 0 for outcome in ran if outcome.passed),
        "photos_lost": sum(outcome.lost_photos for outcome in ran),
        "photos_with_other_than_one_result": sum(outcome.repeated_photos for outcome in ran),
        "photos_computed_again": sum(outcome.computed_again for outcome in ran),
        "photos_computed_again_beyond_those_in_flight": sum(outcome.computed_in_vain for outcome in ran),
        "results_differing": sum(bool(outcome.differing) for outcome in ran),
        "backward_moves": sum(outcome.backward_moves for outcome in ran),
        "recovery_seconds_p50": _percentile(recoveries, 0.5),
        "recovery_seconds_p99": _percentile(recoveries, 0.99),
        "seconds": round(sum(outcome.seconds for outcome in ran), 1),
    }


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that so large a share does not exceed; None of none."""
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 2) if ordered else None
