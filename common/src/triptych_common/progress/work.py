"""The part of a session that a request works on: checked on arrival, and reported on as the work goes."""

from dataclasses import dataclass

from triptych.v1 import work_pb2
from triptych_common.errors import InvalidRequestError
from triptych_common.progress.events import PHASE_NAMES, PhaseValue
from triptych_common.progress.publisher import UnitReport


@dataclass(frozen=True, kw_only=True)
class Work:
    """A unit of a phase's run, and what of it was done before the request."""

    session_id: int
    phase: PhaseValue
    run: int
    unit: str
    total: int
    """Items of the whole unit."""
    done_before: int
    failed_before: int

    def report(self, *, done: int, failed: int) -> UnitReport:
        """The unit's counts once ``done`` and ``failed`` items of this request have their outcome."""
        return UnitReport(
            session_id=self.session_id,
            phase=self.phase,
            run=self.run,
            unit=self.unit,
            done=self.done_before + done,
            failed=self.failed_before + failed,
            total=self.total,
        )

    def report_stage(self, *, stage: str, done: int, total: int) -> UnitReport:
        """The unit's counts where the service itself knows how much there is to do."""
        return UnitReport(
            session_id=self.session_id,
            phase=self.phase,
            run=self.run,
            unit=self.unit,
            done=done,
            failed=0,
            total=total,
            stage=stage,
        )


def work_from_wire(message: work_pb2.WorkUnit, *, item_count: int) -> Work:
    """The work of a request with ``item_count`` items.

    Raises InvalidRequestError (BAD_WORK) for counts or names that no honest progress could be made of: reports that
    end above their total would be dropped later, where nobody could tell why.
    """
    problem = ""
    if message.session_id <= 0:
        problem = f"session_id is {message.session_id}, must be > 0"
    elif message.run < 1:
        problem = "run is 0, must be ≥ 1"
    elif message.phase not in PHASE_NAMES:
        problem = f"phase {message.phase} is unknown"
    elif not message.unit:
        problem = "unit has no name"
    elif message.done_before + message.failed_before + item_count > message.unit_total:
        problem = (
            f"done_before {message.done_before} + failed_before {message.failed_before} + {item_count} items exceed"
            f" unit_total {message.unit_total}"
        )
    if problem:
        raise InvalidRequestError(f"The work cannot be reported on: {problem}.", reason="BAD_WORK")
    return Work(
        session_id=message.session_id,
        phase=message.phase,
        run=message.run,
        unit=message.unit,
        total=message.unit_total,
        done_before=message.done_before,
        failed_before=message.failed_before,
    )
