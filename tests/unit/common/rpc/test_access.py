"""Only who has the installation's token may call a service."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from triptych.v1 import clusterer_pb2, clusterer_pb2_grpc, embedder_pb2, embedder_pb2_grpc
from triptych_common.rpc.access import TokenChannel
from triptych_common.rpc.channels import ReplicaPool
from triptych_common.rpc.server import GrpcServer

TOKEN = "a token of the installation"
WRONG = {
    "none": (),
    "another": (("authorization", "Bearer another"),),
    "a part of it": (("authorization", f"Bearer {TOKEN[:-1]}"),),
    "without its scheme": (("authorization", TOKEN),),
    "more than it": (("authorization", f"Bearer {TOKEN} "), ("x-authorization", f"Bearer {TOKEN}")),
    "bytes": (("authorization-bin", f"Bearer {TOKEN}".encode()),),
    "beside a wrong one": (("authorization", "Bearer another"), ("authorization", f"Bearer {TOKEN}")),
}


class Embedder(embedder_pb2_grpc.EmbedderServicer):
    """Counts its calls."""

    calls = 0

    async def GetModelInfo(self, request: Any, context: Any) -> embedder_pb2.EmbedderGetModelInfoResponse:  # noqa: N802
        self.calls += 1
        return embedder_pb2.EmbedderGetModelInfoResponse()

    async def EmbedText(self, request: Any, context: Any) -> embedder_pb2.EmbedTextResponse:  # noqa: N802
        self.calls += 1
        return embedder_pb2.EmbedTextResponse()

    async def EmbedImages(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        self.calls += 1
        yield embedder_pb2.EmbedImagesResponse(model_id="m")


class Clusterer(clusterer_pb2_grpc.ClustererServicer):
    """Answers as soon as it is asked."""

    calls = 0

    async def ClusterFaces(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        self.calls += 1
        async for _ in requests:
            pass
        yield clusterer_pb2.ClusterFacesResponse()


@pytest.fixture
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
def clusterer() -> Clusterer:
    return Clusterer()


@pytest.fixture
async def address(embedder: Embedder, clusterer: Clusterer) -> AsyncIterator[str]:
    server = GrpcServer(listen="127.0.0.1:0", drain_seconds=0, token=TOKEN)
    embedder_pb2_grpc.add_EmbedderServicer_to_server(embedder, server.server)
    clusterer_pb2_grpc.add_ClustererServicer_to_server(clusterer, server.server)
    port = await server.start(["triptych.v1.Embedder"])
    yield f"127.0.0.1:{port}"
    await server.stop()


async def faces() -> AsyncIterator[Any]:
    yield clusterer_pb2.ClusterFacesRequest()


async def code_of(call: Any) -> grpc.StatusCode:
    """How a call ends."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def codes(channel: grpc.aio.Channel, metadata: Any) -> set[grpc.StatusCode]:
    """How calls of each shape end."""
    embedder, clusterer = embedder_pb2_grpc.EmbedderStub(channel), clusterer_pb2_grpc.ClustererStub(channel)
    reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
    return {
        await code_of(embedder.GetModelInfo(embedder_pb2.EmbedderGetModelInfoRequest(), metadata=metadata)),
        await code_of(embedder.EmbedImages(embedder_pb2.EmbedImagesRequest(), metadata=metadata)),
        await code_of(clusterer.ClusterFaces(faces(), metadata=metadata)),
        await code_of(
            reflection.ServerReflectionInfo(
                iter([reflection_pb2.ServerReflectionRequest(list_services="")]), metadata=metadata
            )
        ),
    }


@pytest.mark.parametrize("metadata", WRONG.values(), ids=WRONG)
async def test_nothing_is_called_without_the_token(
    address: str, embedder: Embedder, clusterer: Clusterer, metadata: Any
) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        assert await codes(channel, metadata) == {grpc.StatusCode.UNAUTHENTICATED}
    assert (embedder.calls, clusterer.calls) == (0, 0)


async def test_calls_of_every_shape_pass_with_it_and_keep_their_own_metadata(
    address: str, embedder: Embedder, clusterer: Clusterer
) -> None:
    async with TokenChannel(grpc.aio.insecure_channel(address), TOKEN) as channel:
        assert await codes(channel, (("traceparent", "00-1-1-00"),)) == {grpc.StatusCode.OK}
        assert await codes(channel, None) == {grpc.StatusCode.OK}
    assert (embedder.calls, clusterer.calls) == (4, 2)


async def test_the_health_check_needs_none(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_pool_sends_the_token_and_says_where_it_is_refused(address: str) -> None:
    async def ask(token: str) -> None:
        async with ReplicaPool([address], service="embedder", token=token) as pool, pool.take() as replica:
            await embedder_pb2_grpc.EmbedderStub(replica.channel).GetModelInfo(
                embedder_pb2.EmbedderGetModelInfoRequest()
            )

    await ask(TOKEN)
    with capture_logs() as logged, pytest.raises(grpc.aio.AioRpcError):
        await ask("of another installation")
    assert [line["event"] for line in logged] == ["a replica refuses this process's TRIPTYCH_SERVICE_TOKEN"]
    assert "of another installation" not in str(logged)


async def test_an_open_address_without_a_token_is_told() -> None:
    for listen, token, is_told in (
        ("127.0.0.1:0", None, False),
        ("0.0.0.0:0", TOKEN, False),
        ("0.0.0.0:0", None, True),
    ):
        with capture_logs() as logged:
            server = GrpcServer(listen=listen, drain_seconds=0, token=token)
            await server.start([])
            await server.stop()
        assert any("TRIPTYCH_SERVICE_TOKEN" in line["event"] for line in logged) == is_told, (listen, token)
