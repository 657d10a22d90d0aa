"""Works through shards: calls a service until every photo of a shard has an outcome."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
from opentelemetry.trace import SpanKind

from triptych_common.errors import AwayError
from triptych_common.logging import get_logger
from triptych_common.models.description import ModelInfo
from triptych_common.rpc.channels import Replica
from triptych_common.rpc.status import RemoteError, read_error
from triptych_common.tracing import span
from triptych_gateway.catalog.runs import shards
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.runs.results import Outcome, PhotoError, write_outcomes
from triptych_gateway.catalog.runs.shards import Shard, ShardItem
from triptych_gateway.pipeline.errors import PhaseFailedError
from triptych_gateway.pipeline.ownership import OwnedSession
from triptych_gateway.pipeline.photos.photo_services import PhotoService, work_of
from triptych_gateway.pipeline.photos.working_time import WorkingTime
from triptych_gateway.pipeline.retrying import RETRIABLE, Backoff

log = get_logger(__name__)

SILENCE_SECONDS: Final = 120.0
"""A worker that sends nothing for this long is taken for lost."""
DEATHS_BEFORE_HALVING: Final = 2
"""Workers lost on the same photos, without one result, before fewer photos are tried at once."""
DEATHS_OF_ONE_PHOTO: Final = 3
"""Workers lost on one single photo before it is given up."""
_SILENCE: Final = "SILENCE"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """How one call over some photos ended."""

    settled: int
    """Photos whose outcome was stored."""
    accepted: bool
    """Whether a worker took the call."""
    error: RemoteError | None = None
    """What ended it early; None where the service ended it."""

    @property
    def lost_its_worker(self) -> bool:
        """Whether a worker took the photos and was not heard of again.

        A service that says why it refuses (loading, draining, full) is alive: its own reason is not the code's name.
        """
        if not self.accepted or self.settled:
            return False
        if self.error is None or self.error.reason == _SILENCE:
            return True
        is_bare = self.error.reason == self.error.code.name
        return is_bare and self.error.code is not grpc.StatusCode.RESOURCE_EXHAUSTED


@dataclass
class _Call:
    """How far a call came, however it ends."""

    accepted: bool = False
    settled: int = 0


class Suspicion:
    """Finds the photo that kills its workers: the more of them are lost, the fewer photos are tried at once."""

    def __init__(self, *, shard_size: int) -> None:
        self._shard_size = shard_size
        self._deaths = 0
        self.at_once = shard_size
        """Photos to try with one call, ≥ 1."""

    def ease(self) -> None:
        """Photos were settled: try more at once again."""
        self._deaths, self.at_once = 0, min(self.at_once * 2, self._shard_size)

    def grow(self, *, photos: int) -> bool:
        """A worker was lost on so many photos; tells whether the only one of them is to be given up."""
        self._deaths += 1
        if photos == 1 and self._deaths >= DEATHS_OF_ONE_PHOTO:
            self._deaths, self.at_once = 0, self._shard_size
            return True
        if photos > 1 and self._deaths >= DEATHS_BEFORE_HALVING:
            self._deaths, self.at_once = 0, photos // 2
        return False


class ShardWork:
    """The shards of one run, and the service that works on them."""

    def __init__(self, session: OwnedSession, run: Run, service: PhotoService, *, model: ModelInfo) -> None:
        self._session = session
        self._run = run
        self._service = service
        self._model = model
        self._limit = service.limit
        self._log = log.bind(session=run.session_id, phase=run.phase, run=run.number)
        self.settled = 0
        """Photos whose outcome was stored here."""
        self.working_time = WorkingTime()
        """How long a service has been at work on any of them."""

    async def finish(self, ordinal: int) -> None:
        """Call until nothing of a shard is left; a photo that keeps killing its worker is found and given up.

        Raises PhaseFailedError, LeaseLostError, and what a lost database raises.
        """
        backoff, suspicion = Backoff(), Suspicion(shard_size=self._run.shard_size)
        shard: Shard | None = None
        while shard is None or shard.items:
            async with self._limit.slot(self._run.session_id):
                # Read once it has its place: shards that wait for one cost no memory.
                shard = shard or await self._load(ordinal)
                items = shard.items[: suspicion.at_once]
                attempt = await self._attempt(shard, items)
            if attempt.settled:
                suspicion.ease()
                backoff.reset()
            if attempt.error is not None or attempt.settled < len(items):
                self._note(attempt.error, shard)
                if attempt.lost_its_worker and suspicion.grow(photos=len(items)):
                    await self._give_up(items[0])
                if attempt.error is not None and attempt.error.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
                    self._limit.was_refused()
                await backoff.wait(attempt.error)
            shard = await self._load(ordinal)
        await self._announce(shard)

    async def _load(self, ordinal: int) -> Shard:
        async with self._service.catalogue_places, self._session.read() as connection:
            return await shards.load_shard(connection, self._run, ordinal)

    async def _attempt(self, shard: Shard, items: Sequence[ShardItem]) -> Attempt:
        """One call, if there is anything to ask. Raises PhaseFailedError for an error that trying again cannot mend."""
        if not items:
            return Attempt(settled=0, accepted=False)
        call, began = _Call(), time.monotonic()
        error = None
        try:
            await self._call(call, shard, items)
        except AwayError as away:
            error = RemoteError(
                code=grpc.StatusCode[away.code], message=away.message, reason=away.reason, retry_after_seconds=None
            )
        except TimeoutError:
            error = RemoteError(
                code=grpc.StatusCode.DEADLINE_EXCEEDED,
                message=f"nothing came for {SILENCE_SECONDS:.0f} s",
                reason=_SILENCE,
                retry_after_seconds=None,
            )
        except grpc.aio.AioRpcError as failure:
            error = read_error(failure)
            if error.reason == "MODEL_MISMATCH":
                raise PhaseFailedError("model_changed", f"{error.message} Start the session again.") from failure
            if error.code not in RETRIABLE and error.code is not grpc.StatusCode.INTERNAL:
                raise PhaseFailedError("service_refused", f"The service refused: {error.message}") from failure
        else:
            self._limit.succeeded(items=len(items), began=began)
        return Attempt(settled=call.settled, accepted=call.accepted, error=error)

    async def _call(self, so_far: _Call, shard: Shard, items: Sequence[ShardItem]) -> None:
        """Ask for the photos and store each message of the answer; ``so_far`` tells how far it came.

        Raises AioRpcError, AwayError, and TimeoutError after SILENCE_SECONDS.
        """
        async with self._service.pool.take() as replica:
            assets, ordinals = [item.asset_id for item in items], [item.ordinal for item in items]
            with span("call", kind=SpanKind.CLIENT, replica=replica.address, assets=assets, ordinals=ordinals):
                await self._ask(so_far, replica, shard, items)

    async def _ask(self, so_far: _Call, replica: Replica, shard: Shard, items: Sequence[ShardItem]) -> None:
        call = self._service.call(replica, items, model_id=self._model.model_id, work=work_of(self._run, shard))
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                # Unlike initial_metadata(), this raises where no worker is reached.
                await call.wait_for_connection()
            so_far.accepted = True
            with self.working_time.working():
                await self._settle(so_far, call, {item.ordinal: item for item in items})
        finally:
            call.cancel()

    async def _settle(self, so_far: _Call, call: Any, items: dict[int, ShardItem]) -> None:
        """Store each message of an answer. Raises AioRpcError, and TimeoutError after SILENCE_SECONDS."""
        while True:
            async with asyncio.timeout(SILENCE_SECONDS):
                message = await call.read()
            if message is grpc.aio.EOF:
                return
            outcomes = self._service.read(message, items, dimension=self._model.dimension)
            await self._write(outcomes)
            so_far.settled += len(outcomes)

    async def _write(self, outcomes: Sequence[Outcome]) -> None:
        with span("store", photos=len(outcomes)):
            async with self._service.catalogue_places, self._session.write() as connection:
                await write_outcomes(connection, self._run, outcomes, model_id=self._model.model_id)
        self.settled += len(outcomes)

    async def _give_up(self, item: ShardItem) -> None:
        self._log.error("a photo keeps killing its worker; it is given up", asset=item.asset_id)
        lost = PhotoError(code="worker_lost", message="The worker died each time it was given this photo.")
        await self._write([Outcome(item=item, result=lost, facts=None, processing_microseconds=0)])

    async def _announce(self, shard: Shard) -> None:
        """Tell the aggregator how a finished shard stands: its worker may have died with its last report unsent."""
        async with self._service.catalogue_places, self._session.write() as connection:
            await shards.announce_shards(connection, self._run, [shard], epoch=self._session.lease.epoch)

    def _note(self, error: RemoteError | None, shard: Shard) -> None:
        if error is None:
            self._log.warning("the service left photos without an outcome; asking again", shard=shard.ordinal)
        else:
            self._log.warning(
                "shard interrupted; trying again", shard=shard.ordinal, code=error.code.name, error=error.message
            )
