"""Progress of a request that carries photos: counted and reported once their outcomes are sent."""

from collections.abc import Sequence
from typing import Any

from triptych.v1 import work_pb2
from triptych_common.media import ImageFailure
from triptych_common.photos.batches import PhotoOutcome
from triptych_common.progress.publisher import ProgressPublisher
from triptych_common.progress.work import work_from_wire


class SentOutcomes:
    """Counts the outcomes of one request, and reports on the work that it belongs to, if any."""

    def __init__(self, publisher: ProgressPublisher, work: work_pb2.WorkUnit | None, *, item_count: int) -> None:
        """Raises InvalidRequestError (BAD_WORK), see `work_from_wire`."""
        self._publisher = publisher
        self._work = work_from_wire(work, item_count=item_count) if work is not None else None
        self._done = self._failed = 0

    def add(self, outcomes: Sequence[PhotoOutcome[Any]]) -> None:
        """These were sent."""
        failed = sum(isinstance(outcome.result, ImageFailure) for outcome in outcomes)
        self._failed += failed
        self._done += len(outcomes) - failed
        if self._work is not None:
            self._publisher.report(self._work.report(done=self._done, failed=self._failed))
