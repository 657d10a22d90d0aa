"""Backups under Compose, by the commands of docs/operations.md."""

from typing import Any

import httpx

from tests.compose.composition import Composition
from tests.compose.training import Training


def test_a_backup_brings_back_a_session_that_was_deleted_and_a_name(
    compose: Composition, interface: httpx.Client
) -> None:
    training = Training(interface, compose.make_samples("kept", photos=24))
    training.until_completed(photos=24)
    somebody = _persons(interface, training)[0]
    interface.patch(f"/faces/persons/{somebody['id']}", json={"name": "Ada"}).raise_for_status()
    before = _persons(interface, training)

    path = compose("run", "--rm", "-T", "backup", "create", "/backups", "--keep", "14").strip()
    assert "Undamaged" in compose("run", "--rm", "-T", "backup", "verify", path)
    interface.delete(f"/training/sessions/{training.id}").raise_for_status()
    interface.patch(f"/faces/persons/{somebody['id']}", json={"name": None}).raise_for_status()

    compose("stop", "gateway", "progress")
    compose("run", "--rm", "-T", "backup", "restore", path, "--replace")
    compose.start()

    assert _persons(interface, training) == before
    assert training.progress()["overallStatus"] == "completed"
    assert training.percentages[-1] == 100


def _persons(interface: httpx.Client, training: Training) -> list[dict[str, Any]]:
    found = interface.get("/faces/persons", params={"session_id": training.id}).raise_for_status().json()["items"]
    assert found
    return [{key: one[key] for key in ("id", "name", "faceCount", "coverFaceId")} for one in found]
