"""One grouping on its thread, and how far it is."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from triptych.v1 import clusterer_pb2
from triptych_cluster.choosing import choose
from triptych_cluster.clustering import Faces, Grouping, Progress, cluster_faces
from triptych_cluster.kept.changes import KeptChanges, all_of, changes
from triptych_cluster.kept.incremental import cluster_increment, cluster_to_keep
from triptych_cluster.neighbours.graph import Search
from triptych_cluster.parameters import UnfitFacesError
from triptych_cluster.question import Question, Received, room_on_disk
from triptych_cluster.workspace import Workspace
from triptych_common.errors import InvalidRequestError
from triptych_common.progress.publisher import ProgressPublisher
from triptych_common.progress.work import Work

PROGRESS_INTERVAL_SECONDS: Final = 0.2
"""Least time between two messages of progress; a sixteenth of the time since the run began, where that is less, so that
a short run has twenty as well."""
HEARTBEAT_SECONDS: Final = 2.0
"""Most time between two messages of progress, also where nothing has moved."""

StageShares = Mapping[str, tuple[float, float]]
"""Where each stage begins, and how much of the whole it is."""
STAGE_SHARES: Final[Mapping[Search | Literal["incremental"], StageShares]] = {
    "exact": {"neighbours": (0.0, 0.83), "tree": (0.83, 0.06), "merge": (0.89, 0.11)},
    "approximate": {"neighbours": (0.0, 0.68), "tree": (0.68, 0.11), "merge": (0.79, 0.21)},
    "incremental": {"neighbours": (0.0, 0.53), "tree": (0.53, 0.16), "merge": (0.69, 0.31)},
}
"""Measured by `make bench-cluster-stages`: on 10,000 faces, on 50,000, and on 400 that are added to 20,000."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a run found.

    Attributes:
        grouping: of all faces.
        is_incremental: whether it stands on what was kept before.
        reason: why not, where something was kept or is to be kept; else empty.
        changes: what is to be kept; None where nothing is.
    """

    grouping: Grouping
    is_incremental: bool = False
    reason: str = ""
    changes: KeptChanges | None = None


NOBODY: Final = Found(
    grouping=Grouping(
        labels=np.empty(0, np.int32), probabilities=np.empty(0, np.float32), cohesions=np.empty(0, np.float32)
    )
)
"""What is found among no faces."""


class Run:
    """One grouping on its thread, as the event loop sees it."""

    def __init__(
        self, executor: ThreadPoolExecutor, received: Received, question: Question, workspace: Workspace
    ) -> None:
        self.newest: Progress | None = None
        """The thread's latest report; those that nobody read in between are gone."""
        self.shares: StageShares = STAGE_SHARES[question.plan.search]
        """Of the stages, once there is a report."""
        self._loop = asyncio.get_running_loop()
        self._cancelled = threading.Event()
        self._moved = asyncio.Event()
        self._told: Progress | None = None
        self._is_waiting = False
        self._future = self._loop.run_in_executor(executor, self._group, received, question, workspace)
        self._future.add_done_callback(self._on_end)
        self._began = self._may_report_at = self._loop.time()

    async def moved(self) -> bool:
        """Wait until there is something to tell, or a heartbeat is due; False once the thread has ended."""
        rest_seconds = self._may_report_at - self._loop.time()
        if rest_seconds > 0:
            await asyncio.wait([self._future], timeout=rest_seconds)
        # The thread is told first, and then asked: so no report of it is missed.
        self._is_waiting = True
        try:
            if self.newest is self._told and not self._future.done():
                async with asyncio.timeout(HEARTBEAT_SECONDS - PROGRESS_INTERVAL_SECONDS):
                    await self._moved.wait()
        except TimeoutError:
            return True
        finally:
            self._is_waiting = False
            self._moved.clear()
        self._told = self.newest
        now = self._loop.time()
        self._may_report_at = now + min(PROGRESS_INTERVAL_SECONDS, (now - self._began) / 16)
        return not self._future.done()

    async def result(self) -> Found:
        """What was found. Raises InvalidRequestError: BAD_FACES where the faces cannot be compared, BAD_KEPT."""
        return await self._future

    async def stop(self) -> None:
        """Cancel the work if it still goes on, and wait for the thread: it stops at its next block."""
        self._cancelled.set()
        await asyncio.wait([self._future])

    def _group(self, received: Received, question: Question, workspace: Workspace) -> Found:
        raw = received.faces
        with _fit_faces(), room_on_disk():
            faces = Faces(embeddings=raw.embeddings, photo_ids=raw.photo_ids, scores=raw.scores, sizes=raw.sizes)
            if question.plan.keeps:
                return self._group_and_keep(faces, received, question, workspace)
            grouping = cluster_faces(
                faces,
                question.parameters,
                search=question.plan.search,
                workspace=workspace,
                on_progress=self._on_progress,
                is_cancelled=self._cancelled.is_set,
            )
        return Found(grouping=grouping, reason=received.reason)

    def _group_and_keep(self, faces: Faces, received: Received, question: Question, workspace: Workspace) -> Found:
        face_ids = received.faces.face_ids
        former = None if received.kept is None else received.kept.state()
        choice = choose(former, face_ids)
        if former is None or choice.known is None:
            anew = cluster_to_keep(
                faces,
                face_ids,
                question.parameters,
                search=question.plan.search,
                workspace=workspace,
                on_progress=self._on_progress,
                is_cancelled=self._cancelled.is_set,
            )
            reason = received.reason or choice.reason
            return Found(grouping=anew.grouping, reason=reason, changes=all_of(anew.kept))
        self.shares = STAGE_SHARES["incremental"]
        found = cluster_increment(
            faces,
            choice.known,
            question.parameters,
            workspace=workspace,
            on_progress=self._on_progress,
            is_cancelled=self._cancelled.is_set,
        )
        return Found(grouping=found.grouping, is_incremental=True, changes=changes(former, found.kept))

    def _on_end(self, future: "asyncio.Future[Found]") -> None:
        if not future.cancelled():
            # Looked at, so that the Cancelled of a run whose caller has left is not logged as forgotten.
            future.exception()
        self._moved.set()

    def _on_progress(self, progress: Progress) -> None:
        self.newest = progress
        # Of a hundred reports a few dozen are told; the others need not wake anybody.
        if self._is_waiting:
            self._loop.call_soon_threadsafe(self._moved.set)


@contextmanager
def _fit_faces() -> Iterator[None]:
    """Work on faces as they came. Raises InvalidRequestError (BAD_FACES) where nothing can be computed with them."""
    try:
        yield
    except UnfitFacesError as error:
        raise InvalidRequestError(str(error), reason="BAD_FACES") from error


class CallProgress:
    """How far a call is, in faces' worth of work over all stages; told to its caller, then to the publisher."""

    def __init__(self, *, total: int, work: Work | None, publisher: ProgressPublisher) -> None:
        self._total = total
        self._work = work
        self._publisher = publisher
        self._stage = "neighbours"
        self._done = 0

    def advance(self, run: Run) -> None:
        """Take over what a run reported last. Never falls, and is not whole before the answer is."""
        newest = run.newest
        if newest is None:
            return
        begin, share = run.shares[newest.stage]
        stage_done = newest.done / newest.total if newest.total else 1.0
        self._stage = newest.stage
        self._done = max(self._done, min(int((begin + share * stage_done) * self._total), self._total - 1))

    def message(self, *, whole: bool = False) -> clusterer_pb2.ClusterFacesResponse:
        """The counts for the caller; ``whole`` where nothing is left but to send the answer."""
        return clusterer_pb2.ClusterFacesResponse(
            progress=clusterer_pb2.ClusterProgress(
                stage="merge" if whole else self._stage,
                done=self._total if whole else self._done,
                total=self._total,
            )
        )

    def report(self) -> None:
        """Publish the counts."""
        if self._work is not None:
            self._publisher.report(self._work.report_stage(stage=self._stage, done=self._done, total=self._total))

    def report_whole(self) -> None:
        """Publish that all is done."""
        self._stage, self._done = "merge", self._total
        self.report()
