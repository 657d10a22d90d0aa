"""Asks services whether they are ready: gRPC's standard health check, and HTTP."""

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from triptych_gateway.cli.plain_http import NO_AUTHORITIES

_ANSWER_SECONDS = 2.0
# A proxy named in the environment must not stand between processes of one machine.
_CHANNEL_OPTIONS = (("grpc.enable_http_proxy", 0),)


async def grpc_is_serving(address: str) -> bool:
    """Whether the server at `address` (host:port) as a whole answers SERVING (grpc.health.v1, service "")."""
    # A channel for each question: one that has failed waits longer and longer before it tries again.
    async with grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        try:
            answer = await check(health_pb2.HealthCheckRequest(service=""), timeout=_ANSWER_SECONDS)
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def http_is_healthy(url: str) -> bool:
    """Whether a GET of `url` is answered with 200."""
    async with httpx.AsyncClient(verify=NO_AUTHORITIES, trust_env=False, timeout=_ANSWER_SECONDS) as client:
        try:
            answer = await client.get(url)
        except httpx.TransportError:
            return False
    return answer.status_code == httpx.codes.OK
