"""One session of a composition, and the percentages that it has shown."""

import time
from collections.abc import Callable
from typing import Any, Final

import httpx
import pytest

_SECONDS: Final = 900.0


class Training:
    """A session over a directory, begun."""

    def __init__(self, client: httpx.Client, root: str) -> None:
        self._client = client
        created = client.post("/training/sessions", json={"name": root, "rootPath": root})
        self.id = created.raise_for_status().json()["id"]
        client.post(f"/training/sessions/{self.id}/start").raise_for_status()
        self.percentages: list[float] = []

    def progress(self) -> Any:
        """The unified progress as it is now."""
        answer = self._client.get(f"/training/sessions/{self.id}/progress-unified").raise_for_status().json()
        self.percentages.append(answer["overallProgress"]["percentage"])
        return answer

    def until(self, phase: str, *, photos: int) -> None:
        """Wait until so many photos of a phase are done."""
        self._until(lambda shown: shown["phases"][phase]["progress"]["current"] >= photos, f"{phase}: {photos}")

    def until_completed(self, *, photos: int) -> None:
        """Wait for the end, and see that every photo is done and that the percentage never fell."""
        shown = self._until(lambda shown: shown["overallStatus"] == "completed", "completed")
        for phase in ("training", "faceDetection"):
            progress = shown["phases"][phase]["progress"]
            assert (progress["current"], progress["total"]) == (photos, photos), shown
        assert shown["phases"]["clustering"]["status"] == "completed"
        assert self.percentages == sorted(self.percentages)
        assert self.percentages[-1] == 100

    def _until(self, holds: Callable[[Any], bool], what: str) -> Any:
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            shown = self.progress()
            assert shown["overallStatus"] in ("running", "completed"), shown
            if holds(shown):
                return shown
            time.sleep(0.5)
        pytest.fail(f"not within {_SECONDS:.0f} s: {what}; {shown}")
