"""Whether a process lives depends on no other; whether it takes work does."""

import asyncio
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support import running_workers
from tests.support.ports import free_port
from tests.support.real_servers import DEADLINE_SECONDS
from tests.support.running_workers import stop
from triptych_common.rpc.server import LIVE


async def told(address: str, service: str) -> str:
    """What a process says of a service of its, once it answers."""
    async with grpc.aio.insecure_channel(address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        request = health_pb2.HealthCheckRequest(service=service)
        answer = await check(request, timeout=DEADLINE_SECONDS, wait_for_ready=True)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def test_progress_lives_and_takes_no_work_while_nats_is_away(tmp_path: Path) -> None:
    nowhere = f"nats://127.0.0.1:{free_port()}"
    progress = running_workers.Stack(nats_url=nowhere, media=tmp_path, folder=tmp_path).start("progress")
    try:
        assert asyncio.run(told(progress.address, LIVE)) == "SERVING"
        assert asyncio.run(told(progress.address, "")) == "NOT_SERVING"
    finally:
        stop(progress.process)
