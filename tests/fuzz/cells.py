"""What was tried, how each of it ended, and the figures of all."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

MOST_TOLD: Final = 12
"""Problems of one cell that are told; of more, how many there are."""


@dataclass(kw_only=True)
class Cell:
    """One kind of bad input, or one parser."""

    name: str
    tried: int = 0
    """Files, requests or inputs."""
    problems: list[str] = field(default_factory=list)
    """What was not as it must be; empty where it passed."""

    def told(self) -> str:
        """How it ended, for a person."""
        more = len(self.problems) - MOST_TOLD
        said = self.problems[:MOST_TOLD] + ([f"and {more} more"] if more > 0 else [])
        ended = "".join(f"\n    {problem}" for problem in said)
        return f"{self.name:<32} {self.tried:>9,}  {'FAILED' if self.problems else 'passed'}{ended}"


@dataclass(kw_only=True)
class Figures:
    """What is counted over all cells."""

    hostile_files: int = 0
    photos_lost: int = 0
    """Files without an end, or that nothing is known of."""
    other_than_one_result: int = 0
    computed_in_vain: int = 0
    """Good photos that were read more often than once for each phase."""
    differing: int = 0
    backward_moves: int = 0
    requests: Counter[int] = field(default_factory=Counter)
    """By the status of their answers."""
    peak_mebibytes: dict[str, int] = field(default_factory=dict)
    """Resident memory by part, children included."""


def summary(cells: Sequence[Cell], figures: Figures) -> dict[str, Any]:
    """The figures of a run."""
    return {
        "cells": len(cells),
        "passed": sum(not cell.problems for cell in cells),
        "hostile_files": figures.hostile_files,
        "photos_lost": figures.photos_lost,
        "photos_with_other_than_one_result": figures.other_than_one_result,
        "photos_computed_again_beyond_those_in_flight": figures.computed_in_vain,
        "results_differing": figures.differing,
        "backward_moves": figures.backward_moves,
        "requests": {str(status): number for status, number in sorted(figures.requests.items())},
        "peak_mebibytes": figures.peak_mebibytes,
    }
