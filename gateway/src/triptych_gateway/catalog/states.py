"""The states of a session and of a run, and what leads from one to another: the only table of either."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

SessionStatus = Literal["pending", "running", "paused", "completed", "failed", "cancelled"]
RunStatus = Literal["pending", "running", "paused", "completed", "failed", "cancelled"]
Button = Literal[
    "start", "pause", "resume", "cancel", "restart-training", "restart-faces", "restart-clustering", "delete"
]
"""What a person may ask of a session."""
SessionEvent = Button | Literal["complete", "fail"]
RunEvent = Literal["begin", "pause", "resume", "cancel", "complete", "fail"]

_RESTARTS: Final[Mapping[SessionEvent, SessionStatus]] = {
    "restart-training": "running",
    "restart-faces": "running",
    "restart-clustering": "running",
}
SESSION: Final[Mapping[SessionStatus, Mapping[SessionEvent, SessionStatus | None]]] = {
    "pending": {"start": "running", "cancel": "cancelled", "delete": None},
    "running": {
        "start": "running",
        "pause": "paused",
        "resume": "running",
        "cancel": "cancelled",
        "complete": "completed",
        "fail": "failed",
    },
    "paused": {"start": "running", "pause": "paused", "resume": "running", "cancel": "cancelled", "delete": None},
    "completed": {**_RESTARTS, "delete": None},
    "failed": {"start": "running", **_RESTARTS, "delete": None},
    "cancelled": {"start": "running", "cancel": "cancelled", **_RESTARTS, "delete": None},
}
"""Status of a session → what may happen to it → its next status, which is none for a deleted one. Where the next status
is the same, the button was pressed twice and does nothing."""

RUN: Final[Mapping[RunStatus, Mapping[RunEvent, RunStatus]]] = {
    "pending": {"begin": "running", "complete": "completed", "fail": "failed"},
    "running": {
        "begin": "running",
        "pause": "paused",
        "cancel": "cancelled",
        "complete": "completed",
        "fail": "failed",
    },
    "paused": {"resume": "running", "cancel": "cancelled"},
    "cancelled": {"resume": "running"},
    "completed": {},
    "failed": {},
}
"""Likewise of a run. A completed and a failed one stay as they are: going on, and a restart, make a new run. A run that
begins again is one whose gateway was lost."""

_NOT_BUTTONS: Final = ("complete", "fail")


class NotAllowedError(Exception):
    """The session's state does not allow it; ``allowed`` says what it does."""

    def __init__(self, message: str, *, status: str, allowed: Sequence[str]) -> None:
        super().__init__(message)
        self.status = status
        self.allowed = tuple(allowed)


def allowed_buttons(status: SessionStatus) -> tuple[Button, ...]:
    """What a person may ask of a session in that status and that changes anything."""
    found: list[Button] = [
        event  # type: ignore[misc]
        for event, after in SESSION[status].items()
        if event not in _NOT_BUTTONS and after != status
    ]
    return tuple(found)


def press(status: SessionStatus, button: Button) -> SessionStatus | None:
    """A session's status after a button; None once it is deleted. Raises NotAllowedError."""
    if button not in SESSION[status]:
        allowed = allowed_buttons(status)
        raise NotAllowedError(
            f"A {status} session does not allow {button}; it allows {', '.join(allowed)}.",
            status=status,
            allowed=allowed,
        )
    return SESSION[status][button]


def statuses_before(after: RunStatus) -> list[RunStatus]:
    """The statuses from which a run may come to that one."""
    return [before for before, events in RUN.items() if after in events.values()]
