"""A gateway for tests: a real HTTP server that speaks the contract and plays a scripted session."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

SESSION_ID = 7
_TRAINING = "/api/v1/training"
_STARTUP_SECONDS = 20.0


def phase(name: str, status: str, current: int, total: int, **more: Any) -> dict[str, Any]:
    percentage = 100.0 * current / total if total else (100.0 if status == "completed" else 0.0)
    progress = {"current": current, "total": total, "percentage": percentage, "etaSeconds": None}
    progress |= {"imagesPerMinute": more.pop("rate", None), "unique": None, "skipped": more.pop("skipped", 0)}
    return {"name": name, "status": status, "progress": progress, "futureKey": {"is": "ignored"}, **more}


class ContractGateway:
    """Plays `snapshots` in order: on the stream one after the other, to a poller the next at each request."""

    def __init__(self) -> None:
        self.snapshots: list[dict[str, Any]] = []
        self.failed_jobs: list[dict[str, Any]] = []
        self.problems: list[dict[str, Any]] = []
        self.groups: list[dict[str, Any]] = []
        self.sessions: list[dict[str, Any]] = [self.session_object()]
        self.refusals: dict[str, tuple[int, Any]] = {}
        """Path ending → status and body that answer it instead."""
        self.offers_stream = True
        self.breaks_stream_after: int | None = None
        """The stream's connection breaks, once, after this many events."""
        self.ends_stream_at_once = False
        self.holds_at: int | None = None
        """The stream says nothing more once it has told the snapshot of this index."""
        self.begins_later: dict[str, Any] | None = None
        """A session that the stream of all tells of before it is in any list."""
        self.requests: list[tuple[str, str]] = []
        self.created: list[dict[str, Any]] = []
        self.last_event_ids: list[str | None] = []
        self.holding = threading.Event()
        self._position = 0
        self._port = 0
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    def start(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(self._application(), lifespan="off", log_config=None, ws="none", loop="asyncio")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]})
        self._thread.start()
        deadline = time.monotonic() + _STARTUP_SECONDS
        while not self._server.started:
            assert time.monotonic() < deadline, "the test's gateway did not start"
            time.sleep(0.005)

    def stop(self) -> None:
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(_STARTUP_SECONDS)
        assert not self._thread.is_alive()
        self._server = self._thread = None

    @staticmethod
    def session_object(**changes: Any) -> dict[str, Any]:
        counts = {"totalImages": 100, "processedImages": 98, "failedImages": 2, "skippedImages": 10}
        plain = {"id": SESSION_ID, "name": "holiday", "status": "running", "rootPath": "/photos", "category": None}
        return plain | counts | {"createdAt": "2026-01-12T10:00:00Z"} | changes

    @staticmethod
    def snapshot(status: str, percentage: float, current_phase: str, *phases: dict[str, Any]) -> dict[str, Any]:
        overall = {"percentage": percentage, "etaSeconds": 30, "currentPhase": current_phase, "elapsedSeconds": 4.0}
        names = ("training", "faceDetection", "clustering")
        return {
            "sessionId": SESSION_ID,
            "overallStatus": status,
            "overallProgress": overall,
            "phases": dict(zip(names, phases, strict=True)),
            "stale": False,
        }

    def play_success(self) -> None:
        """A session of 100 photos: 10 known already, 2 failed, 40 faces, 5 groups."""
        model = {"id": "mobilenet", "pack": "bundled", "device": "cpu", "notice": "this is not CLIP"}
        faces_model = {"id": "dlib", "pack": "bundled", "device": "cpu", "notice": None}
        trained = phase("training", "completed", 100, 100, skipped=10, failed=2, elapsedSeconds=3.5, model=model)
        trained["stats"] = {"imagesProcessed": 100, "imagesEmbedded": 88}
        idle_faces, idle_groups = phase("face_detection", "pending", 0, 100), phase("clustering", "pending", 0, 0)
        half = phase("face_detection", "processing", 50, 100, rate=600.0, stats={"facesDetected": 20})
        seen = phase("face_detection", "completed", 100, 100, elapsedSeconds=7.25, model=faces_model)
        seen["stats"] = {"facesDetected": 40}
        grouped = phase("clustering", "completed", 40, 40, elapsedSeconds=0.5, stats={"clustersCreated": 5})
        training = phase("training", "running", 30, 100, rate=1200.0)
        self.snapshots = [
            self.snapshot("running", 0.0, "training", phase("training", "pending", 0, 0), idle_faces, idle_groups),
            self.snapshot("running", 9.0, "training", training, idle_faces, idle_groups),
            self.snapshot("running", 62.5, "face_detection", trained, half, idle_groups),
            self.snapshot("completed", 100.0, "completed", trained, seen, grouped),
        ]
        self.groups = [
            {"id": number, "faceCount": 10 - number, "cohesion": 0.9, "personId": number, "model": "dlib",
             "sampleFaces": [{"id": 1, "assetId": 2, "path": f"/photos/people/{number}.jpg", "box": {}, "score": 0.8}]}
            for number in range(1, 6)
        ]  # fmt: skip
        self.failed_jobs = [self.failed_job(1), self.failed_job(2)]

    def play_failure(self) -> None:
        """The same session, whose clustering raises."""
        self.play_success()
        last = self.snapshots[-1]
        error = {"code": "internal", "message": "the clusterer raised ValueError"}
        last |= {"overallStatus": "failed"}
        last["overallProgress"] |= {"percentage": 95.0, "currentPhase": "clustering"}
        last["phases"]["clustering"] = phase("clustering", "failed", 10, 40, error=error)
        self.groups = []

    @staticmethod
    def failed_job(number: int, path: str | None = None) -> dict[str, Any]:
        where = path or f"/photos/bad-{number}.jpg"
        why = {"errorMessage": "The file is cut short", "errorCode": "corrupt", "errorPhase": "training"}
        return {"id": number, "assetId": number, "status": "failed", "imagePath": where} | why

    def _take(self) -> tuple[int, dict[str, Any]]:
        """The snapshot a reader sees now, with its revision; the next reader sees the next one."""
        position = min(self._position, len(self.snapshots) - 1)
        self._position += 1
        updated_at = f"1970-01-01T00:00:00.{position:03}Z"
        return position, self.snapshots[position] | {"revision": position, "updatedAt": updated_at}

    async def _events(self, after: str | None) -> AsyncIterator[str]:
        sent = 0
        yield ": heartbeat\n\n"
        if self.ends_stream_at_once:
            return
        if after is None:
            self._position = 0
        while True:
            if self.breaks_stream_after is not None and sent >= self.breaks_stream_after:
                self.breaks_stream_after = None
                raise ConnectionResetError("the test breaks this stream")
            revision, snapshot = self._take()
            ends = {"completed": "complete", "failed": "error", "cancelled": "error"}
            event = ends.get(snapshot["overallStatus"], "progress")
            yield f"event: {event}\nid: {revision}\ndata: {json.dumps(snapshot)}\n\n"
            sent += 1
            if event != "progress":
                return
            if revision == self.holds_at:
                self.holding.set()
                await asyncio.Event().wait()

    async def _events_of_all(self, after: str | None) -> AsyncIterator[str]:
        if self.begins_later is not None:
            self.sessions.append(self.begins_later)
            other = {"sessionId": self.begins_later["id"], "revision": 0}
            yield f"event: progress\nid: 0\ndata: {json.dumps(self.snapshots[1] | other)}\n\n"
            yield f"event: complete\nid: 0\ndata: {json.dumps(self.snapshots[-1] | other)}\n\n"
        async for event in self._events(after):
            yield event

    def _application(self) -> ASGIApp:
        application = FastAPI()

        self._add_sessions(application)
        self._add_lists(application)

        async def noting(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope["path"]
            self.requests.append((scope["method"], path))
            for ending, (status, body) in self.refusals.items():
                if path.endswith(ending):
                    await JSONResponse(body, status_code=status)(scope, receive, send)
                    return
            await application(scope, receive, send)

        return noting

    def _add_sessions(self, application: FastAPI) -> None:
        @application.get("/health")
        async def health() -> dict[str, Any]:
            return {"status": "ok", "services": {"embedder": {"status": "ready", "device": "cpu"}}}

        @application.post(f"{_TRAINING}/sessions", status_code=201)
        async def create(request: Request) -> Any:
            self.created.append(json.loads(await request.body()))
            return self.session_object(status="pending", totalImages=0)

        @application.get(f"{_TRAINING}/sessions/{{number}}")
        async def session(number: int) -> Any:
            if number != SESSION_ID:
                return refusal(404, "session_not_found", f"There is no session {number}")
            return self.session_object(status=self.snapshots[-1]["overallStatus"])

        @application.post(f"{_TRAINING}/sessions/{{number}}/start")
        async def start(number: int) -> Any:
            return {"sessionId": number, "status": "running", "message": "started"}

        @application.get(f"{_TRAINING}/sessions/{{number}}/progress-unified")
        async def progress(number: int) -> Any:
            return self._take()[1]

        @application.get(f"{_TRAINING}/sessions/{{number}}/progress-unified/stream")
        async def stream(number: int, request: Request) -> Response:
            if not self.offers_stream:
                return JSONResponse({"detail": "Not Found"}, status_code=404)
            after = request.headers.get("last-event-id")
            self.last_event_ids.append(after)
            return StreamingResponse(self._events(after), media_type="text/event-stream")

    def _add_lists(self, application: FastAPI) -> None:
        def page(items: list[dict[str, Any]], number: int, size: int) -> dict[str, Any]:
            assert 1 <= size <= 100
            end = number * size
            shown = items[end - size : end]
            return {"items": shown, "total": len(items), "page": number, "pageSize": size, "hasMore": end < len(items)}

        @application.get(f"{_TRAINING}/sessions")
        async def sessions(status: str = "", number: int = 1, page_size: int = 20) -> Any:
            return page([one for one in self.sessions if status in ("", one["status"])], number, page_size)

        @application.get(f"{_TRAINING}/progress/stream")
        async def stream_all(request: Request) -> Response:
            if not self.offers_stream:
                return JSONResponse({"detail": "Not Found"}, status_code=404)
            after = request.headers.get("last-event-id")
            self.last_event_ids.append(after)
            return StreamingResponse(self._events_of_all(after), media_type="text/event-stream")

        @application.get(f"{_TRAINING}/sessions/{{session_id}}/jobs")
        async def jobs(session_id: int, request: Request, status: str = "", page_size: int = 50) -> Response:
            items = self.failed_jobs if status == "failed" else []
            return escaped(page(items, int(request.query_params["page"]), page_size))

        @application.get(f"{_TRAINING}/sessions/{{session_id}}/problems")
        async def problems(session_id: int, request: Request, page_size: int = 50) -> Response:
            return escaped(page(self.problems, int(request.query_params["page"]), page_size))

        @application.get("/api/v1/faces/clusters")
        async def clusters(session_id: int, request: Request, page_size: int = 50) -> Any:
            return page(self.groups, int(request.query_params["page"]), page_size)


def escaped(body: object) -> Response:
    """JSON in ASCII: lone surrogates, which stand for bytes that are not UTF-8, travel as escapes."""
    return Response(json.dumps(body, ensure_ascii=True), media_type="application/json")


def refusal(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse(refusal_body(code, message), status_code=status)


def refusal_body(code: str, message: str) -> dict[str, Any]:
    return {"detail": message, "message": message, "error": {"code": code, "message": message, "details": {"a": 1}}}


@pytest.fixture
def gateway() -> Iterator[ContractGateway]:
    """A running gateway over one session that succeeds."""
    server = ContractGateway()
    server.play_success()
    server.start()
    yield server
    server.stop()
