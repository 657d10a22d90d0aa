"""Runs a phase that works through photos: training and face detection."""

import asyncio

import grpc
from sqlalchemy import func

from triptych_common.correlation import correlated
from triptych_common.errors import AwayError
from triptych_common.logging import get_logger
from triptych_common.models.description import ModelInfo
from triptych_common.rpc.status import read_error
from triptych_common.tracing import span
from triptych_gateway.catalog.runs import generations, history, lifecycle, shards
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.pipeline.backlog import Remainder
from triptych_gateway.pipeline.concurrency import LIMIT
from triptych_gateway.pipeline.errors import PhaseFailedError
from triptych_gateway.pipeline.ownership import OwnedSession
from triptych_gateway.pipeline.photos import run_planning
from triptych_gateway.pipeline.photos.face_forecast import FaceForecast
from triptych_gateway.pipeline.photos.photo_services import PhotoService
from triptych_gateway.pipeline.photos.shard_work import ShardWork
from triptych_gateway.pipeline.retrying import RETRIABLE, Backoff

log = get_logger(__name__)


class PhotoPhase:
    """One run of training or face detection, from where it stands to its end."""

    def __init__(self, session: OwnedSession, run: Run, service: PhotoService) -> None:
        self._session = session
        self._run = run
        self._service = service
        self._log = log.bind(session=run.session_id, phase=run.phase, run=run.number)

    async def run(self) -> Run:
        """Work until every photo has an outcome; returns the completed run.

        Raises PhaseFailedError, LeaseLostError, and what a lost database raises.
        """
        with (
            span("phase", phase=self._run.phase, run=self._run.number),
            self._service.backlog.of_run(photos=self._run.total, shard_size=self._run.shard_size) as remainder,
        ):
            model = await self._wait_for_model()
            await self._begin(model)
            work = await self._work_through(model, remainder)
        return await self._end(model, items=work.settled, seconds=work.working_time.seconds)

    async def _work_through(self, model: ModelInfo, remainder: Remainder) -> ShardWork:
        """Finish every shard; returns what was done."""
        async with self._session.read() as connection:
            waiting = await shards.unfinished_shards(connection, self._run)
        remainder.shards = len(waiting)
        self._log.info("phase begins", shards=len(waiting), total=self._run.total, skipped=self._run.skipped)
        forecast = FaceForecast(self._session, self._run, model_id=model.model_id)
        work = ShardWork(self._session, self._run, self._service, model=model)
        # A huge session does not make a task of every shard at once.
        room = asyncio.Semaphore(LIMIT)
        try:
            async with asyncio.TaskGroup() as tasks:
                for ordinal in waiting:
                    await room.acquire()
                    task = tasks.create_task(self._finish(work, ordinal, forecast, remainder), name=f"shard {ordinal}")
                    task.add_done_callback(lambda _: room.release())
        except ExceptionGroup as group:
            raise _first_leaf(group) from group
        return work

    async def _finish(self, work: ShardWork, ordinal: int, forecast: FaceForecast, remainder: Remainder) -> None:
        with (
            span("shard", phase=self._run.phase, shard=ordinal),
            correlated(phase=self._run.phase, run=self._run.number, shard=ordinal),
        ):
            await work.finish(ordinal)
        remainder.shards -= 1
        if self._run.phase == "face_detection":
            await forecast.renew()

    async def _wait_for_model(self) -> ModelInfo:
        """Ask the service what it runs, for as long as it is away."""
        backoff = Backoff()
        while True:
            try:
                return await self._service.model()
            except AwayError as error:
                self._log.warning("waiting for the service", error=error.message)
                await backoff.wait()
            except grpc.aio.AioRpcError as error:
                remote = read_error(error)
                if remote.code not in RETRIABLE:
                    raise PhaseFailedError("service_failed", f"The service failed: {remote.message}") from error
                self._log.warning("waiting for the service", code=remote.code.name)
                await backoff.wait(remote)

    async def _begin(self, model: ModelInfo) -> None:
        """Assign photos to a run that is new; tell the aggregator again how a run stands that goes on."""
        run = self._run
        if run.model is not None and run.model["id"] != model.model_id:
            raise PhaseFailedError(
                "model_changed",
                f"The run began with {run.model['id']}, but the service now has {model.model_id}: start it again.",
            )
        if run.model is None:
            self._run = await run_planning.begin_run(self._session, run, model)
            return
        async with self._session.write() as connection:
            self._run = await lifecycle.update_run(connection, run.id, status="running")
            begun = [one for one in await shards.shard_counts(connection, self._run) if one.has_begun]
            await shards.announce_shards(connection, self._run, begun, epoch=self._session.lease.epoch)

    async def _end(self, model: ModelInfo, *, items: int, seconds: float) -> Run:
        async with self._session.write() as connection:
            run = (await lifecycle.latest_runs(connection, self._run.session_id))[self._run.phase]
            if run.total > 0 and run.failed == run.total:
                which = "The only photo" if run.total == 1 else f"All {run.total:,} photos"
                raise PhaseFailedError("every_photo_failed", f"{which} failed; the list says why.")
            await history.record(
                connection,
                phase=run.phase,
                model_id=model.model_id,
                device=model.device,
                items=items,
                seconds=seconds,
            )
            if run.phase == "training":
                # Faces are shown with the groups that are made of them.
                await generations.publish(connection, run)
            run = await lifecycle.update_run(
                connection,
                run.id,
                status="completed",
                completed_at=func.now(),
                found=await run_planning.count_found(connection, run, model),
            )
        self._log.info("phase completed", done=run.done, failed=run.failed, skipped=run.skipped, found=run.found)
        return run


def _first_leaf(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first plain exception inside a group."""
    first = group.exceptions[0]
    return _first_leaf(first) if isinstance(first, BaseExceptionGroup) else first
