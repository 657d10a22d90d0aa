"""The words and numbers in which progress is told."""

from typing import Final

from triptych_gateway.cli.rest.answers import Phase, Session, Snapshot
from triptych_gateway.cli.terminal.text import printable

SHORT_NAMES: Final = {"training": "Training", "face_detection": "Face Detection", "clustering": "Clustering"}
"""Each phase in a word or two."""

UNITS: Final = {"training": "photos", "face_detection": "photos", "clustering": "faces"}
"""What each phase counts."""

_CURRENT_PHASE: Final = {
    "training": "🎨 Training – Generating Embeddings",
    "face_detection": "😊 Face Detection – Analyzing Faces",
    "clustering": "🔗 Clustering – Grouping Similar Faces",
}
STALE: Final = "these numbers may lag behind the work"
"""Told where something that counts is away."""
_ALL_COMPLETE: Final = "✓ All Phases Complete"
_SECONDS_PER_MINUTE: Final = 60
_SECONDS_PER_HOUR: Final = 3600
_WIDE_RANGE: Final = 1.25
"""An estimate is told as a range where its high end is more than this times its low end."""


def session_title(session: Session) -> str:
    """A session's number and name on one line."""
    return f"Session {session.id} · {printable(session.name)}"


def headline(snapshot: Snapshot) -> str:
    """What the session does now, in words with its sign."""
    phase = snapshot.current_phase()
    name = SHORT_NAMES.get(snapshot.overall_progress.current_phase, "")
    match snapshot.overall_status:
        case "completed":
            return _ALL_COMPLETE
        case "failed":
            failed = next((each for each in snapshot.phases.in_order() if each.status == "failed"), phase)
            return f"✗ {SHORT_NAMES.get(failed.name, failed.name) if failed else 'Training session'} failed"
        case "cancelled":
            return f"■ Cancelled during {name}" if name else "■ Cancelled"
        case "paused":
            return f"‖ Paused in {name}" if name else "‖ Paused"
        case "pending":
            return "○ Not started"
    return _CURRENT_PHASE.get(snapshot.overall_progress.current_phase, _ALL_COMPLETE)


def is_discovering(snapshot: Snapshot) -> bool:
    """Whether photos are still being looked for, so that no phase has a total yet."""
    training = snapshot.phases.training
    return (
        snapshot.overall_status in {"running", "discovering"}
        and not training.progress.total
        and (training.status in {"pending", "running"})
    )


def stall(snapshot: Snapshot) -> str:
    """Since when nothing goes on, and why as far as it is known; empty while work goes on."""
    told = snapshot.overall_progress.stall
    return printable(told.message) if told is not None else ""


def time_left(snapshot: Snapshot, *, age_seconds: float = 0.0) -> str:
    """How long a running session still takes, by a snapshot of that age; empty if unknown, and while it is stalled."""
    overall = snapshot.overall_progress
    if snapshot.overall_status != "running" or overall.eta_seconds is None or overall.stall is not None:
        return ""
    return remaining(
        max(0.0, overall.eta_seconds - age_seconds),
        low_seconds=_less(overall.eta_low_seconds, age_seconds),
        high_seconds=_less(overall.eta_high_seconds, age_seconds),
    )


def failures(snapshot: Snapshot) -> tuple[str, ...]:
    """One sentence for each phase that failed: its name and the error it named."""
    return tuple(
        f"{SHORT_NAMES.get(phase.name, phase.name)}: {printable(phase.error.message)} ({printable(phase.error.code)})"
        for phase in snapshot.phases.in_order()
        if phase.error is not None
    )


def percentage(value: float) -> str:
    """A percentage to 0.1, cut and never rounded up: 99.96 is not 100."""
    tenths = int(value * 10 + 1e-6)
    return f"{tenths // 10} %" if tenths in {0, 1000} else f"{tenths / 10:.1f} %"


def count(value: int) -> str:
    """A count with its thousands apart."""
    return f"{value:,}"


def counted(phase: Phase) -> str:
    """How much of a phase is done, such as "500 of 1,000 photos"."""
    unit = UNITS.get(phase.name, "")
    return f"{count(phase.progress.current)} of {count(phase.progress.total)} {unit}".rstrip()


def rate(images_per_minute: float | None) -> str:
    """A rate such as "250/min"; empty where it is unknown."""
    if images_per_minute is None or images_per_minute <= 0:
        return ""
    return f"{images_per_minute:,.0f}/min" if images_per_minute >= 10 else f"{images_per_minute:.1f}/min"


def clock(seconds: float) -> str:
    """Elapsed time as on a clock: "0:07", "12:30", "1:02:03"."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, _SECONDS_PER_HOUR)
    minutes, rest = divmod(rest, _SECONDS_PER_MINUTE)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def duration(seconds: float) -> str:
    """A measured time: "0.4 s", "42 s", "3 min 20 s", "1 h 5 min"."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < _SECONDS_PER_MINUTE:
        return f"{whole} s"
    if whole < _SECONDS_PER_HOUR:
        minutes, rest = divmod(whole, _SECONDS_PER_MINUTE)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(whole / _SECONDS_PER_MINUTE), _SECONDS_PER_MINUTE)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def remaining(seconds: float | None, *, low_seconds: float | None = None, high_seconds: float | None = None) -> str:
    """An estimate of remaining time: "about 3 min left", or "2–5 min left" while it is uncertain; empty if unknown."""
    if seconds is None:
        return ""
    if low_seconds is not None and high_seconds is not None and high_seconds > _WIDE_RANGE * max(low_seconds, 1.0):
        low, high = _rough(low_seconds), _rough(high_seconds)
        if low != high:
            (low_number, low_unit), (high_number, high_unit) = low, high
            shown_low = f"{low_number}" if low_unit == high_unit else f"{low_number} {low_unit}"
            return f"{shown_low}–{high_number} {high_unit} left"
    number, unit = _rough(seconds)
    return f"about {number} {unit} left"


def estimate(seconds: float | None) -> str:
    """An estimate where there is little room: "~3 min"; empty if unknown."""
    return "" if seconds is None else "~" + " ".join(_rough(seconds))


def _less(seconds: float | None, by_seconds: float) -> float | None:
    return None if seconds is None else max(0.0, seconds - by_seconds)


def _rough(seconds: float) -> tuple[str, str]:
    """A time as precisely as an estimate deserves: to 5 s below a minute, a minute below two hours, else to 0.5 h."""
    if seconds < 57.5:
        return f"{max(5, 5 * round(seconds / 5)) if seconds >= 5 else max(1, round(seconds))}", "s"
    minutes = round(seconds / _SECONDS_PER_MINUTE)
    if minutes < 120:
        return f"{max(1, minutes)}", "min"
    return f"{round(2 * seconds / _SECONDS_PER_HOUR) / 2:g}", "h"
