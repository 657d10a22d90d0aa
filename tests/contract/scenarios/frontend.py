"""The shipped frontend, as far as the gateway sees it: what it asks, when it asks again, and what it reads."""

import time
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

POLL_SECONDS: Final = 2.0
"""How often the frontend asks for the progress of a session that is running; of any other it asks once."""
DEADLINE_SECONDS: Final = 60.0
SESSIONS: Final = "/api/v1/training/sessions"


@dataclass(kw_only=True)
class Frontend:
    """One browser tab on one session."""

    client: httpx.Client
    session_id: int = 0
    seen: list[dict[str, Any]] = field(default_factory=list)
    """Every answer about progress."""

    def create(self, root_path: str, **more: Any) -> dict[str, Any]:
        """What the form sends; returns the session."""
        body = {"name": "Holiday", "rootPath": root_path, "subdirectories": [], **more}
        answer = self.client.post(SESSIONS, json=body)
        assert answer.status_code == 201, answer.text
        session: dict[str, Any] = answer.json()
        self.session_id = session["id"]
        return session

    def press(self, button: str, **query: Any) -> dict[str, Any]:
        """Press a button, then ask for the progress once, as the frontend does."""
        answer = self.client.post(f"{SESSIONS}/{self.session_id}/{button}", params=query)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        self.ask()
        return body

    def ask(self) -> dict[str, Any]:
        """Ask for the progress."""
        answer = self.client.get(f"{SESSIONS}/{self.session_id}/progress-unified")
        assert answer.status_code == 200, answer.text
        self.seen.append(answer.json())
        return self.seen[-1]

    def poll(self) -> dict[str, Any]:
        """Ask each two seconds while the session is running; returns the first answer that ends the polling."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.seen[-1]["overallStatus"] == "running":
            assert time.monotonic() < deadline, self.seen[-1]
            time.sleep(POLL_SECONDS)
            self.ask()
        return self.seen[-1]

    def labels(self) -> list[str]:
        """The phase labels as they were shown, without repeats."""
        shown = [_LABELS[body["overallProgress"]["currentPhase"]] for body in self.seen]
        return list(dict.fromkeys(shown))


_LABELS: Final = {
    "training": "🎨 Training - Generating CLIP Embeddings",
    "face_detection": "😊 Face Detection - Analyzing Faces",
    "clustering": "🔗 Clustering - Grouping Similar Faces",
    "completed": "✓ All Phases Complete",
}


def badge(phase: dict[str, Any]) -> str:
    """What the breakdown says of a phase."""
    if phase["status"] in ("running", "processing"):
        return f"{phase['progress']['percentage']:.0f} %"
    return {"pending": "Pending", "completed": "✓ Complete"}.get(phase["status"], "?")
