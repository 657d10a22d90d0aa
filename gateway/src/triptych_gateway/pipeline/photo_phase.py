"""Runs a phase that works through photos: training and face detection."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import grpc
from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_common.errors import AwayError
from triptych_common.grpc_status import RemoteError, read_error
from triptych_common.logging import get_logger
from triptych_common.models import ModelInfo
from triptych_gateway.catalog import history, lifecycle, shards
from triptych_gateway.catalog.faces import count_session_faces
from triptych_gateway.catalog.lifecycle import Run
from triptych_gateway.catalog.results import Outcome, PhotoError, write_outcomes
from triptych_gateway.catalog.shards import Shard, ShardItem
from triptych_gateway.pipeline.concurrency import AdaptiveLimit
from triptych_gateway.pipeline.errors import PhaseFailedError
from triptych_gateway.pipeline.ownership import OwnedSession
from triptych_gateway.pipeline.photo_services import PhotoService
from triptych_gateway.pipeline.retrying import RETRIABLE, Backoff

log = get_logger(__name__)

SILENCE_SECONDS: Final = 120.0
"""A worker that sends nothing for this long is taken for lost."""
DEATHS_BEFORE_HALVING: Final = 2
"""Workers lost on the same photos, without one result, before fewer photos are tried at once."""
DEATHS_OF_ONE_PHOTO: Final = 3
"""Workers lost on one single photo before it is given up."""


class PhotoPhase:
    """One run of training or face detection, from where it stands to its end."""

    def __init__(self, session: OwnedSession, run: Run, service: PhotoService) -> None:
        self._session = session
        self._run = run
        self._service = service
        self._log = log.bind(session=run.session_id, phase=run.phase, run=run.number)
        self._settled = 0

    async def run(self) -> Run:
        """Work until every photo has an outcome; returns the completed run.

        Raises PhaseFailedError, LeaseLostError, and what a lost database raises.
        """
        model = await self._wait_for_model()
        await self._begin(model)
        async with self._session.read() as connection:
            waiting = await shards.unfinished_shards(connection, self._run)
        self._log.info("phase begins", shards=len(waiting), total=self._run.total, skipped=self._run.skipped)
        began = time.monotonic()
        limit = AdaptiveLimit(start=2 * max(1, self._service.pool.replica_count))
        try:
            async with asyncio.TaskGroup() as tasks:
                for ordinal in waiting:
                    await _wait_for_room(limit)
                    tasks.create_task(self._finish_shard(ordinal, model, limit), name=f"shard {ordinal}")
        except ExceptionGroup as group:
            raise _first_leaf(group) from group
        return await self._end(model, seconds=time.monotonic() - began)

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
        async with self._session.write() as connection:
            changes: dict[str, Any] = {"status": "running"}
            if run.model is None:
                total, skipped = await shards.assign_items(connection, run, model_id=model.model_id)
                changes |= {
                    "total": total,
                    "skipped": skipped,
                    "model": _describe(model),
                    "started_at": func.now(),
                    "prior_seconds_per_item": await history.seconds_per_item(
                        connection, phase=run.phase, model_id=model.model_id, device=model.device
                    ),
                    "found": await self._count_found(connection, model),
                }
            self._run = await lifecycle.update_run(connection, run.id, **changes)
            if run.model is not None:
                for shard in await shards.shard_counts(connection, self._run):
                    await shards.announce_shard(connection, self._run, shard, epoch=self._session.lease.epoch)

    async def _end(self, model: ModelInfo, *, seconds: float) -> Run:
        async with self._session.write() as connection:
            run = (await lifecycle.latest_runs(connection, self._run.session_id))[self._run.phase]
            if run.total > 0 and run.failed == run.total:
                raise PhaseFailedError("every_photo_failed", f"All {run.total} photos failed; each is listed with why.")
            await history.record(
                connection,
                phase=run.phase,
                model_id=model.model_id,
                device=model.device,
                items=self._settled,
                seconds=seconds,
            )
            run = await lifecycle.update_run(
                connection,
                run.id,
                status="completed",
                completed_at=func.now(),
                found=await self._count_found(connection, model),
            )
        self._log.info("phase completed", done=run.done, failed=run.failed, skipped=run.skipped, found=run.found)
        return run

    async def _count_found(self, connection: AsyncConnection, model: ModelInfo) -> int:
        if self._run.phase != "face_detection":
            return 0
        return await count_session_faces(connection, self._run.session_id, model_id=model.model_id)

    async def _finish_shard(self, ordinal: int, model: ModelInfo, limit: AdaptiveLimit) -> None:
        """Call until nothing of the shard is left; a photo that keeps killing its worker is found and given up."""
        backoff = Backoff()
        deaths, at_once = 0, self._run.shard_size
        while True:
            async with self._session.read() as connection:
                shard = await shards.load_shard(connection, self._run, ordinal)
            if not shard.items:
                await self._announce(shard)
                return
            items = shard.items[:at_once]
            async with limit.slot():
                settled, accepted, error = await self._attempt(shard, items, model, limit)
            if settled:
                deaths, at_once = 0, min(at_once * 2, self._run.shard_size)
                backoff.reset()
            if error is None and settled >= len(items):
                continue
            self._note(error, shard)
            if accepted and not settled and (error is None or error.code != grpc.StatusCode.RESOURCE_EXHAUSTED):
                deaths += 1
                if len(items) == 1 and deaths >= DEATHS_OF_ONE_PHOTO:
                    await self._give_up(items[0], model)
                    deaths, at_once = 0, self._run.shard_size
                elif deaths >= DEATHS_BEFORE_HALVING and len(items) > 1:
                    deaths, at_once = 0, len(items) // 2
            if error is not None and error.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
                limit.was_refused()
            await backoff.wait(error)

    async def _attempt(
        self, shard: Shard, items: Sequence[ShardItem], model: ModelInfo, limit: AdaptiveLimit
    ) -> tuple[int, bool, RemoteError | None]:
        """One call. Returns (photos settled, whether a worker took the call, what went wrong).

        Raises PhaseFailedError for an error that trying again cannot mend.
        """
        by_ordinal = {item.ordinal: item for item in items}
        settled, accepted, began = 0, False, time.monotonic()
        try:
            async with self._service.pool.take() as replica:
                call = self._service.call(replica, self._run, shard, items, model_id=model.model_id)
                try:
                    async with asyncio.timeout(SILENCE_SECONDS):
                        # Unlike initial_metadata(), this raises where no worker is reached.
                        await call.wait_for_connection()
                    accepted = True
                    while True:
                        async with asyncio.timeout(SILENCE_SECONDS):
                            message = await call.read()
                        if message is grpc.aio.EOF:
                            break
                        outcomes = self._service.read(message, by_ordinal, dimension=model.dimension)
                        await self._write(outcomes, model)
                        settled += len(outcomes)
                finally:
                    call.cancel()
        except AwayError as error:
            return (
                settled,
                accepted,
                RemoteError(
                    code=grpc.StatusCode[error.code],
                    message=error.message,
                    reason=error.reason,
                    retry_after_seconds=None,
                ),
            )
        except TimeoutError:
            return (
                settled,
                accepted,
                RemoteError(
                    code=grpc.StatusCode.DEADLINE_EXCEEDED,
                    message=f"nothing came for {SILENCE_SECONDS:.0f} s",
                    reason="SILENCE",
                    retry_after_seconds=None,
                ),
            )
        except grpc.aio.AioRpcError as error:
            remote = read_error(error)
            if remote.reason == "MODEL_MISMATCH":
                raise PhaseFailedError("model_changed", f"{remote.message} Start the session again.") from error
            if remote.code not in RETRIABLE and remote.code is not grpc.StatusCode.INTERNAL:
                raise PhaseFailedError("service_refused", f"The service refused: {remote.message}") from error
            return settled, accepted, remote
        await limit.succeeded(items=len(items), began=began)
        return settled, accepted, None

    async def _write(self, outcomes: Sequence[Outcome], model: ModelInfo) -> None:
        async with self._session.write() as connection:
            await write_outcomes(connection, self._run, outcomes, model_id=model.model_id)
        self._settled += len(outcomes)

    async def _give_up(self, item: ShardItem, model: ModelInfo) -> None:
        self._log.error("a photo keeps killing its worker; it is given up", asset=item.asset_id)
        lost = PhotoError(code="worker_lost", message="The worker died each time it was given this photo.")
        outcome = Outcome(item=item, result=lost, facts=None, processing_microseconds=0)
        await self._write([outcome], model)

    async def _announce(self, shard: Shard) -> None:
        """Tell the aggregator how a finished shard stands: its worker may have died with its last report unsent."""
        async with self._session.write() as connection:
            await shards.announce_shard(connection, self._run, shard, epoch=self._session.lease.epoch)

    def _note(self, error: RemoteError | None, shard: Shard) -> None:
        if error is None:
            self._log.warning("the service left photos without an outcome; asking again", shard=shard.ordinal)
        else:
            self._log.warning(
                "shard interrupted; trying again", shard=shard.ordinal, code=error.code.name, error=error.message
            )


def _describe(model: ModelInfo) -> dict[str, Any]:
    return {
        "id": model.model_id,
        "name": model.display_name,
        "pack": model.pack,
        "device": model.device,
        "notice": model.notice or None,
        "licence": model.licence,
    }


async def _wait_for_room(limit: AdaptiveLimit) -> None:
    """Wait until a shard could begin, so that a huge session does not make a task of every shard at once."""
    async with limit.slot():
        pass


def _first_leaf(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first plain exception inside a group."""
    first = group.exceptions[0]
    return _first_leaf(first) if isinstance(first, BaseExceptionGroup) else first
