"""A real gateway, aggregator, NATS and PostgreSQL over workers that stand still, or fail, exactly where they are to."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from tests.support.real_servers import PostgresServer, wait_for
from tests.support.running_gateway import Gateway, running_gateway
from tests.support.running_progress import RunningProgress, running_progress
from tests.support.scripted_workers import MICRO_BATCH, ScriptedWorkers, Worker

SESSIONS: Final = "/api/v1/training/sessions"
PHOTOS: Final = 20
HELD_AT: Final = MICRO_BATCH
PHASE_KEYS: Final = {"training": "training", "face_detection": "faceDetection", "clustering": "clustering"}
PHASES: Final = tuple(PHASE_KEYS)
SERVICES: Final = {"training": "embedder", "face_detection": "facedetect", "clustering": "cluster"}
UNDER_WAY: Final = {"training": "running", "face_detection": "processing", "clustering": "running"}
NEVER: Final = float("inf")


@dataclass(frozen=True, kw_only=True)
class Servers:
    """What outlives gateways and aggregators."""

    postgres: PostgresServer
    database_url: str
    nats_url: str
    workers: ScriptedWorkers
    folder: Path

    @contextlib.contextmanager
    def stack(self, **settings: str) -> Iterator["Stack"]:
        """A gateway and an aggregator on them, until the end of the context or until they are killed."""
        with (
            running_progress(nats_url=self.nats_url, folder=self.folder) as progress,
            self.gateway(self.folder, progress, **settings) as gateway,
            gateway.client() as client,
        ):
            yield Stack(servers=self, gateway=gateway, progress=progress, client=client)

    @contextlib.contextmanager
    def gateway(self, folder: Path, progress: RunningProgress, **settings: str) -> Iterator[Gateway]:
        """A gateway on them, with files of its own in a folder."""
        with running_gateway(
            database_url=self.database_url,
            nats_url=self.nats_url,
            folder=folder,
            **self.workers.settings() | {"TRIPTYCH_PROGRESS_ADDRESSES": progress.address} | settings,
        ) as gateway:
            yield gateway


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Everything, at work."""

    servers: Servers
    gateway: Gateway
    progress: RunningProgress
    client: httpx.Client

    def worker(self, phase: str) -> Worker:
        """The worker of a phase."""
        worker: Worker = getattr(self.servers.workers, SERVICES[phase])
        return worker

    def create(self, folder: Path, *, photos: int = PHOTOS, **more: Any) -> int:
        """A session over some photos that nobody knows yet."""
        directory = self.gateway.media / folder.name
        directory.mkdir()
        for number in range(photos):
            (directory / f"{number:04}.jpg").write_bytes(b"nobody looks at it")
        return self.gateway.create(self.client, directory, **more)

    def wait_until_idle(self, phase: str) -> None:
        """Wait until nobody asks a phase's worker for anything any more."""
        wait_for(lambda: self.worker(phase).under_way == 0, f"nobody asks for {phase}")

    def press(self, session_id: int, button: str, **query: Any) -> httpx.Response:
        """Press a button of a session."""
        return self.client.post(f"{SESSIONS}/{session_id}/{button}", params=query)

    def start(self, session_id: int) -> None:
        """Start a session, or let it go on."""
        answer = self.client.post(f"{SESSIONS}/{session_id}/start")
        assert (answer.status_code, answer.json()["status"]) == (200, "running")

    def delete_sessions(self) -> None:
        """Have nothing run any more, and no session left."""
        while items := self.client.get(SESSIONS).raise_for_status().json()["items"]:
            for session_id in (one["id"] for one in items):
                # Refused where it is over.
                self.press(session_id, "cancel")
            for phase in PHASES:
                self.wait_until_idle(phase)
            for session_id in (one["id"] for one in items):
                wait_for(partial(self._delete, session_id), f"session {session_id} is deleted")

    def _delete(self, session_id: int) -> bool:
        return self.client.delete(f"{SESSIONS}/{session_id}").is_success

    def shown(self, session_id: int) -> dict[str, Any]:
        """What is shown of a session."""
        body: dict[str, Any] = self.client.get(f"{SESSIONS}/{session_id}/progress-unified").raise_for_status().json()
        return body


class Watch:
    """A reader who asks again and again."""

    def __init__(self, stack: Stack, session_id: int, *, seen: list[dict[str, Any]] | None = None) -> None:
        self._stack = stack
        self._session_id = session_id
        self.seen = [] if seen is None else seen

    def look(self) -> dict[str, Any]:
        """Ask once more."""
        self.seen.append(self._stack.shown(self._session_id))
        return self.seen[-1]

    def until_phase(self, phase: str, status: str, *, current: int = 0) -> dict[str, Any]:
        """Ask until a phase has come so far."""

        def is_there() -> bool:
            now = self.look()["phases"][PHASE_KEYS[phase]]
            return bool(now["status"] == status and now["progress"]["current"] >= current)

        wait_for(is_there, f"{phase} is {status} at {current}")
        return self.seen[-1]

    def until(self, status: str) -> dict[str, Any]:
        """Ask until the session has that status."""
        wait_for(lambda: bool(self.look()["overallStatus"] == status), f"the session is {status}")
        return self.seen[-1]

    def percentages(self) -> list[float]:
        """The bar, each time."""
        return [body["overallProgress"]["percentage"] for body in self.seen]


def phases_of(body: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Status, current and total of each phase, in order."""
    phases = [body["phases"][key] for key in PHASE_KEYS.values()]
    return [(one["status"], one["progress"]["current"], one["progress"]["total"]) for one in phases]


def overall_of(body: dict[str, Any]) -> tuple[str, float, str]:
    """Status, percentage and current phase."""
    overall = body["overallProgress"]
    return body["overallStatus"], overall["percentage"], overall["currentPhase"]
