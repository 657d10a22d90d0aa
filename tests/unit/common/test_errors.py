"""Errors: every class crosses a real gRPC call and comes out as what it was."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from triptych.v1 import embedder_pb2, embedder_pb2_grpc
from triptych_common import errors
from triptych_common.errors import ConfigurationError, OverloadedError, ServiceError
from triptych_common.rpc.server import LIVE, GrpcServer
from triptych_common.rpc.status import read_error

_SERVICE = "triptych.v1.Embedder"
_CODES = {
    errors.InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.PreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.MissingError: grpc.StatusCode.NOT_FOUND,
    errors.OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.AwayError: grpc.StatusCode.UNAVAILABLE,
}


class _Failing(embedder_pb2_grpc.EmbedderServicer):
    """Fails with ``error`` in each kind of call; without one, streams until it is closed."""

    error: Exception | None = None
    closed: asyncio.Event

    async def GetModelInfo(  # noqa: N802
        self, request: embedder_pb2.EmbedderGetModelInfoRequest, context: Any
    ) -> embedder_pb2.EmbedderGetModelInfoResponse:
        assert self.error is not None
        raise self.error

    async def EmbedText(  # noqa: N802
        self, request: embedder_pb2.EmbedTextRequest, context: Any
    ) -> embedder_pb2.EmbedTextResponse:
        return embedder_pb2.EmbedTextResponse()

    async def EmbedImages(  # noqa: N802
        self, request: embedder_pb2.EmbedImagesRequest, context: Any
    ) -> AsyncGenerator[embedder_pb2.EmbedImagesResponse, None]:
        try:
            yield embedder_pb2.EmbedImagesResponse(model_id="first")
            if self.error is not None:
                raise self.error
            while True:
                yield embedder_pb2.EmbedImagesResponse(model_id="x" * 100_000)
        finally:
            self.closed.set()


@pytest.fixture
async def servicer() -> _Failing:
    one = _Failing()
    one.closed = asyncio.Event()
    return one


@pytest.fixture
async def server() -> GrpcServer:
    return GrpcServer(listen="127.0.0.1:0", drain_seconds=0)


@pytest.fixture
async def channel(servicer: _Failing, server: GrpcServer) -> AsyncIterator[grpc.aio.Channel]:
    embedder_pb2_grpc.add_EmbedderServicer_to_server(servicer, server.server)
    port = await server.start([_SERVICE], serving=False)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as opened:
        yield opened
    await server.stop()


def test_every_class_of_error_is_tested_here() -> None:
    assert set(_CODES) == set(ServiceError.__subclasses__())


@pytest.mark.parametrize("kind", _CODES, ids=lambda kind: kind.__name__)
async def test_an_error_keeps_code_message_and_reason_across_a_call(
    servicer: _Failing, channel: grpc.aio.Channel, kind: type[ServiceError]
) -> None:
    servicer.error = kind("It is — so.", reason="SO_IT_IS", metadata={"which": "one"}, retry_after_seconds=1.5)
    stub = embedder_pb2_grpc.EmbedderStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as unary:
        await stub.GetModelInfo(embedder_pb2.EmbedderGetModelInfoRequest())
    with pytest.raises(grpc.aio.AioRpcError) as streaming:
        async for message in stub.EmbedImages(embedder_pb2.EmbedImagesRequest()):
            assert message.model_id == "first"
    for caught in (unary, streaming):
        remote = read_error(caught.value)
        assert (remote.code, remote.message, remote.reason) == (_CODES[kind], "It is — so.", "SO_IT_IS")
        assert remote.retry_after_seconds == 1.5


async def test_without_a_time_to_retry_none_is_read(servicer: _Failing, channel: grpc.aio.Channel) -> None:
    servicer.error = OverloadedError("Full.", reason="QUEUE_FULL")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await embedder_pb2_grpc.EmbedderStub(channel).GetModelInfo(embedder_pb2.EmbedderGetModelInfoRequest())
    assert read_error(caught.value).retry_after_seconds is None


async def test_an_unforeseen_error_tells_its_caller_nothing_of_itself(
    servicer: _Failing, channel: grpc.aio.Channel
) -> None:
    servicer.error = RuntimeError("secret")
    stub = embedder_pb2_grpc.EmbedderStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as unary:
        await stub.GetModelInfo(embedder_pb2.EmbedderGetModelInfoRequest())
    with pytest.raises(grpc.aio.AioRpcError) as streaming:
        async for _ in stub.EmbedImages(embedder_pb2.EmbedImagesRequest()):
            pass
    for caught in (unary, streaming):
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert "secret" not in str(caught.value)


async def test_an_error_that_no_service_of_ours_wrote_is_read_by_its_code() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await embedder_pb2_grpc.EmbedderStub(channel).GetModelInfo(embedder_pb2.EmbedderGetModelInfoRequest())
    assert read_error(caught.value).reason == "UNAVAILABLE"


async def test_a_cancelled_stream_closes_its_generator_at_once(servicer: _Failing, channel: grpc.aio.Channel) -> None:
    call = embedder_pb2_grpc.EmbedderStub(channel).EmbedImages(embedder_pb2.EmbedImagesRequest())
    await call.read()
    call.cancel()
    async with asyncio.timeout(30):
        await servicer.closed.wait()


async def test_health_says_not_serving_until_told_otherwise(channel: grpc.aio.Channel, server: GrpcServer) -> None:
    watch = aiter(health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=_SERVICE)))
    assert (await anext(watch)).status == health_pb2.HealthCheckResponse.NOT_SERVING
    await server.set_serving(serving=True)
    assert (await anext(watch)).status == health_pb2.HealthCheckResponse.SERVING


async def test_a_process_lives_before_it_takes_work(channel: grpc.aio.Channel, server: GrpcServer) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    waiting = await stub.Check(health_pb2.HealthCheckRequest(service=_SERVICE))
    living = await stub.Check(health_pb2.HealthCheckRequest(service=LIVE))
    assert waiting.status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert living.status == health_pb2.HealthCheckResponse.SERVING


async def test_an_address_that_cannot_be_had_is_a_matter_of_configuration() -> None:
    server = GrpcServer(listen="192.0.2.1:1", drain_seconds=0)
    with pytest.raises(ConfigurationError, match="TRIPTYCH_LISTEN"):
        await server.start([])
    await server.server.stop(0)
