"""What is known of a run's duration before it works; travels in lifecycle events so that an ETA needs no database."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from triptych.v1 import progress_event_pb2

MAX_TIMINGS: Final = 16
"""Most past runs, and most probes, that are sent and believed."""
MAX_SECONDS: Final = 10.0**9
"""Longest duration that is believed, in seconds."""
MAX_ITEMS: Final = 10.0**12
"""Most items that are believed."""
MAX_SPREAD: Final = 10.0
"""Greatest doubt that is believed, as a standard deviation of a natural logarithm."""


class Timing(NamedTuple):
    """How long some work took."""

    items: float
    """Items of work, > 0."""
    seconds: float
    """Seconds of work, > 0, without pauses."""


@dataclass(frozen=True, kw_only=True, order=True)
class Evidence:
    """What is known of a run beforehand; nothing where all is empty."""

    history: tuple[Timing, ...] = ()
    """Past runs of the phase on this installation with the same model and device, newest first."""
    probe: tuple[Timing, ...] = ()
    """A few items timed through the service before the session's first phase."""
    expected_items: float = 0.0
    """Items of work that the run is expected to have, where its total does not say so yet."""
    expected_items_spread: float = 0.0
    """Doubt about them: standard deviation of the natural logarithm; > 0 wherever something is expected."""

    @property
    def expects_items(self) -> bool:
        """Whether `expected_items` means anything: also none may be expected."""
        return self.expected_items > 0 or self.expected_items_spread > 0

    def is_credible(self) -> bool:
        """Whether every number is finite and in its range."""
        timings = (*self.history, *self.probe)
        return (
            max(len(self.history), len(self.probe)) <= MAX_TIMINGS
            and all(0 < one.items <= MAX_ITEMS and 0 < one.seconds <= MAX_SECONDS for one in timings)
            and 0 <= self.expected_items <= MAX_ITEMS
            and 0 <= self.expected_items_spread <= MAX_SPREAD
        )


NO_EVIDENCE: Final = Evidence()
"""Nothing is known."""


def evidence_to_wire(evidence: Evidence) -> progress_event_pb2.RunEvidence:
    """The message for some evidence."""
    return progress_event_pb2.RunEvidence(
        history=[progress_event_pb2.Timing(items=one.items, seconds=one.seconds) for one in evidence.history],
        probe=[progress_event_pb2.Timing(items=one.items, seconds=one.seconds) for one in evidence.probe],
        expected_items=evidence.expected_items,
        expected_items_spread=evidence.expected_items_spread,
    )


def evidence_from_wire(message: progress_event_pb2.RunEvidence) -> Evidence:
    """The evidence in a message; whether it is credible is for its reader to check."""
    return Evidence(
        history=tuple(Timing(one.items, one.seconds) for one in message.history),
        probe=tuple(Timing(one.items, one.seconds) for one in message.probe),
        expected_items=message.expected_items,
        expected_items_spread=message.expected_items_spread,
    )


def evidence_to_json(evidence: Evidence) -> dict[str, Any]:
    """The evidence as a JSON object, for storage."""
    return {
        "history": [list(one) for one in evidence.history],
        "probe": [list(one) for one in evidence.probe],
        "expectedItems": evidence.expected_items,
        "expectedItemsSpread": evidence.expected_items_spread,
    }


def evidence_from_json(content: Mapping[str, Any]) -> Evidence:
    """The evidence in such an object; an empty one is no evidence."""
    return Evidence(
        history=tuple(Timing(*one) for one in content.get("history", ())),
        probe=tuple(Timing(*one) for one in content.get("probe", ())),
        expected_items=content.get("expectedItems", 0.0),
        expected_items_spread=content.get("expectedItemsSpread", 0.0),
    )
