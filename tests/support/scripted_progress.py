"""A progress service over real gRPC that says what a test has it say."""

import contextlib
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc

from tests.support.scripted_workers import listening
from triptych.v1 import progress_event_pb2, progress_pb2, progress_pb2_grpc
from triptych_common.progress.events import PHASES_BY_NAME

_LOOK_SECONDS = 0.02


def said(session_id: int, *phases: progress_pb2.PhaseProgress, revision: int) -> progress_pb2.SessionProgress:
    """What an aggregator says of a session."""
    return progress_pb2.SessionProgress(session_id=session_id, revision=revision, phases=phases)


def phase_at_work(name: str, *, done: int, total: int, run: int = 1) -> progress_pb2.PhaseProgress:
    """A phase that runs."""
    state = progress_event_pb2.RUN_STATE_RUNNING
    return progress_pb2.PhaseProgress(phase=PHASES_BY_NAME[name], run=run, state=state, done=done, total=total)


@dataclass(kw_only=True)
class ScriptedProgress:
    """A progress service that can be taken away and come back on its port."""

    address: str = ""
    known: dict[int, progress_pb2.SessionProgress] = field(default_factory=dict)
    _watchers: list["queue.SimpleQueue[progress_pb2.SessionProgress]"] = field(default_factory=list)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def say(self, progress: progress_pb2.SessionProgress) -> None:
        """Tell every watcher, and whoever asks from now on."""
        self.known[progress.session_id] = progress
        for watcher in list(self._watchers):
            watcher.put(progress)

    def keep(self, progress: progress_pb2.SessionProgress) -> None:
        """Answer with it whoever asks for it, without telling watchers: of a session that is over."""
        self.known[progress.session_id] = progress

    @property
    def is_watched(self) -> bool:
        """Whether anybody watches."""
        return bool(self._watchers)

    def start(self) -> None:
        """Listen; where it has listened before, on the same port."""
        self._stopping.clear()
        port = int(self.address.rpartition(":")[2] or 0)
        servicer = _Servicer(self, self._watchers, self._stopping)
        add = partial(progress_pb2_grpc.add_ProgressServicer_to_server, servicer)
        self.address = self._stack.enter_context(listening(add, port=port))

    def stop(self) -> None:
        """Be away."""
        self._stopping.set()
        self._stack.close()


class _Servicer(progress_pb2_grpc.ProgressServicer):
    def __init__(self, progress: ScriptedProgress, watchers: list[Any], stopping: threading.Event) -> None:
        self._progress = progress
        self._watchers = watchers
        self._stopping = stopping

    def GetSessionProgress(self, request: Any, context: Any) -> Any:  # noqa: N802
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "Gateways list and watch.")

    def ListSessionProgress(self, request: Any, context: Any) -> Any:  # noqa: N802
        known = self._progress.known
        wanted = [one for one in request.session_ids or known if one in known]
        return progress_pb2.ListSessionProgressResponse(progress=[known[one] for one in wanted])

    def WatchSessionProgress(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        context.send_initial_metadata(())
        news: queue.SimpleQueue[progress_pb2.SessionProgress] = queue.SimpleQueue()
        self._watchers.append(news)
        try:
            while context.is_active() and not self._stopping.is_set():
                with contextlib.suppress(queue.Empty):
                    yield progress_pb2.WatchSessionProgressResponse(progress=news.get(timeout=_LOOK_SECONDS))
        finally:
            self._watchers.remove(news)


@contextlib.contextmanager
def scripted_progress() -> Iterator[ScriptedProgress]:
    """A progress service that knows nothing yet."""
    progress = ScriptedProgress()
    progress.start()
    try:
        yield progress
    finally:
        progress.stop()
