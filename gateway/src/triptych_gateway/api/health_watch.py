"""Which services answer, and with which model: asked in the background, so that /health costs nothing."""

import asyncio
from collections.abc import Mapping
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from triptych_common.errors import AwayError
from triptych_common.rpc.channels import ReplicaPool
from triptych_gateway.api.schemas import ServiceHealth
from triptych_gateway.pipeline.photos.photo_services import PhotoService

_ASK_EVERY_SECONDS: Final = 5.0
_DEADLINE_SECONDS: Final = 3.0


class HealthWatch:
    """The last answer of every service."""

    def __init__(self, *, photo_services: Mapping[str, PhotoService], others: Mapping[str, ReplicaPool]) -> None:
        self._photo_services = photo_services
        self._others = others
        self.services: dict[str, ServiceHealth] = {
            name: ServiceHealth(status="away") for name in (*photo_services, *others)
        }

    async def run(self) -> None:
        """Ask until cancelled; more often while somebody is away."""
        while True:
            await asyncio.gather(
                *(self._ask_model(name, service) for name, service in self._photo_services.items()),
                *(self._ask_health(name, pool) for name, pool in self._others.items()),
            )
            away = any(service.status == "away" for service in self.services.values())
            await asyncio.sleep(0.5 if away else _ASK_EVERY_SECONDS)

    async def _ask_model(self, name: str, service: PhotoService) -> None:
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                model = await service.model()
        except (grpc.aio.AioRpcError, AwayError, TimeoutError):
            self.services[name] = self.services[name].model_copy(update={"status": "away"})
            return
        self.services[name] = ServiceHealth(
            status="ok",
            model=model.model_id,
            device=model.device,
            precision=model.precision,
            capacity=model.capacity or None,
            pack=model.pack,
            notice=model.notice or None,
        )

    async def _ask_health(self, name: str, pool: ReplicaPool) -> None:
        try:
            async with pool.take() as replica:
                answer = await health_pb2_grpc.HealthStub(replica.channel).Check(
                    health_pb2.HealthCheckRequest(), timeout=_DEADLINE_SECONDS
                )
        except (grpc.aio.AioRpcError, AwayError):
            self.services[name] = ServiceHealth(status="away")
            return
        serving = answer.status == health_pb2.HealthCheckResponse.SERVING
        self.services[name] = ServiceHealth(status="ok" if serving else "away")
