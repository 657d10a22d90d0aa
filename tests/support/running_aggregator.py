"""The real aggregator and its real gRPC service in the test's own process, where the test can look into its memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from nats.aio.client import Client

from tests.support.ending import end_tasks
from tests.support.real_servers import eventually
from triptych.v1 import progress_pb2, progress_pb2_grpc
from triptych_common.progress.events import StreamLimits
from triptych_common.progress.publisher import close_nats, connect_nats
from triptych_common.rpc.server import GrpcServer
from triptych_progress.aggregator import Aggregator, AggregatorSettings
from triptych_progress.service import ProgressService

_ANSWER_SECONDS = 30
NEVER_SECONDS = 3600.0
"""Longer than any test."""


@dataclass(frozen=True, kw_only=True)
class RunningAggregator:
    """An aggregator that has caught up with its stream, and a channel to its service."""

    aggregator: Aggregator
    service: ProgressService
    channel: grpc.aio.Channel
    nats: Client
    """Its connection to NATS."""
    lags: list[float] = field(default_factory=list)
    """Every lag that the aggregator has told of, in seconds."""

    @property
    def stub(self) -> "progress_pb2_grpc.ProgressAsyncStub":
        """The service's procedures."""
        stub: Any = progress_pb2_grpc.ProgressStub(self.channel)
        return stub  # type: ignore[no-any-return]

    @property
    def in_memory(self) -> list[int]:
        """The sessions that the aggregator holds in memory."""
        return sorted(self.aggregator.sessions.in_memory)

    async def get(self, session_id: int = 1) -> progress_pb2.SessionProgress:
        """The progress of a session. Raises AioRpcError."""
        request = progress_pb2.GetSessionProgressRequest(session_id=session_id)
        answer = await self.stub.GetSessionProgress(request, timeout=_ANSWER_SECONDS)
        return answer.progress

    async def list_progress(self, *session_ids: int) -> Sequence[progress_pb2.SessionProgress]:
        """The progress of several sessions, or of all in memory. Raises AioRpcError."""
        request = progress_pb2.ListSessionProgressRequest(session_ids=session_ids)
        return (await self.stub.ListSessionProgress(request, timeout=_ANSWER_SECONDS)).progress

    def watch(self, *session_ids: int, after_revision: int = 0) -> "Watch":
        """Begin to watch some sessions, or all."""
        request = progress_pb2.WatchSessionProgressRequest(session_ids=session_ids, after_revision=after_revision)
        return Watch(self.stub.WatchSessionProgress(request, timeout=_ANSWER_SECONDS))

    async def until(
        self, is_reached: Callable[[progress_pb2.SessionProgress], bool], session_id: int = 1
    ) -> progress_pb2.SessionProgress:
        """Wait until the progress of a session is as it should be; returns it."""
        newest: progress_pb2.SessionProgress | None = None

        async def holds() -> bool:
            nonlocal newest
            for newest in await self.list_progress(session_id):
                return is_reached(newest)
            return False

        await eventually(holds, f"session {session_id} is as it should be")
        assert newest is not None
        return newest

    async def until_done(self, done: int, session_id: int = 1) -> progress_pb2.SessionProgress:
        """Wait until so many items of training are done."""
        return await self.until(lambda progress: progress.phases[0].done == done, session_id)

    async def until_in_memory(self, *session_ids: int) -> None:
        """Wait until exactly these sessions are in memory."""
        await until(lambda: self.in_memory == sorted(session_ids), f"in memory are {session_ids}")

    async def until_saved(self) -> None:
        """Wait until snapshots cover everything that is folded so far."""
        keeper, loop = self.aggregator.keeper, asyncio.get_running_loop()
        now = loop.time()
        await until(lambda: loop.time() - keeper.age_seconds >= now, "snapshots cover what is folded")


class Watch:
    """A watch as its reader sees it."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def next(self) -> list[progress_pb2.SessionProgress] | None:
        """The states of the next message; None at the end. Raises AioRpcError."""
        message = await self._call.read()
        if not isinstance(message, progress_pb2.WatchSessionProgressResponse):
            assert await self._call.code() is grpc.StatusCode.OK
            return None
        return [message.progress, *message.more]

    async def until(self, is_reached: Callable[[progress_pb2.SessionProgress], bool]) -> progress_pb2.SessionProgress:
        """The first state that is as it should be; a change may be told more than once. Raises AioRpcError."""
        while (message := await self.next()) is not None:
            for state in message:
                if is_reached(state):
                    return state
        raise AssertionError("the watch has ended")

    async def has_begun(self) -> None:
        """Wait until the service has the call."""
        await self._call.initial_metadata()

    def cancel(self) -> None:
        """End it."""
        self._call.cancel()


async def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds in this process."""

    async def answer() -> bool:
        return holds()

    await eventually(answer, what)


@contextlib.asynccontextmanager
async def running_aggregator(
    nats_url: str,
    *,
    limits: StreamLimits | None = None,
    snapshot_seconds: float = 0.05,
    evict_after_seconds: float = NEVER_SECONDS,
    saves_at_the_end: bool = True,
) -> AsyncIterator[RunningAggregator]:
    """Wire the parts as the service's process does, wait until they have caught up, and end them.

    ``saves_at_the_end``: False leaves behind what a process that is killed does.
    """
    settings = AggregatorSettings(
        limits=limits or StreamLimits(),
        snapshot_seconds=snapshot_seconds,
        evict_after_seconds=evict_after_seconds,
        keep_ended_seconds=NEVER_SECONDS,
    )
    async with contextlib.AsyncExitStack() as stack:
        client: Client = await connect_nats(nats_url, name="progress")
        stack.push_async_callback(close_nats, client)
        lags: list[float] = []
        aggregator = Aggregator(client, settings)
        aggregator.on_lag = lags.append

        async def save() -> None:
            if saves_at_the_end and client.is_connected:
                await aggregator.save_now()

        stack.push_async_callback(save)
        following = asyncio.create_task(aggregator.run())
        stack.push_async_callback(end_tasks, [following])
        await until(lambda: aggregator.caught_up.is_set() or following.done(), "the aggregator has caught up")
        if following.done():
            following.result()
        server = GrpcServer(listen="127.0.0.1:0", drain_seconds=1.0)
        service = ProgressService()
        service.aggregator = aggregator
        progress_pb2_grpc.add_ProgressServicer_to_server(service, server.server)
        port = await server.start([progress_pb2.DESCRIPTOR.services_by_name["Progress"].full_name])
        stack.push_async_callback(server.stop)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        stack.callback(aggregator.watchers.stop)
        yield RunningAggregator(aggregator=aggregator, service=service, channel=channel, nats=client, lags=lags)
