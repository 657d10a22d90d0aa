"""Worker services as real processes beside a real NATS server, and photos for them to read."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import grpc
import nats
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image

from tests.support.ports import free_port
from tests.support.real_servers import nats_server
from triptych.v1 import image_pb2
from triptych_common.media import uri_from_path
from triptych_common.progress.events import StreamLimits, stream_config

DEADLINE_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running service."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What the tests of this file talk to."""

    nats_url: str
    media: Path
    folder: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, name: str, program: Sequence[str] = (), **settings: str) -> Service:
        """Start a service's console script, or a program in its place; it may still be loading its model."""
        address = f"127.0.0.1:{free_port()}"
        log = self.folder / f"{name}-{address.rpartition(':')[2]}.log"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TRIPTYCH_")}
        environment |= {
            "NATS_URL": self.nats_url,
            "TRIPTYCH_LISTEN": address,
            "TRIPTYCH_MEDIA_ROOTS": str(self.media),
            **{f"TRIPTYCH_{key.upper()}": value for key, value in settings.items()},
        }
        with log.open("wb") as output:
            process = subprocess.Popen(program or [_script(f"triptych-{name}")], env=environment, stderr=output)
        self.started.append(process)
        return Service(process=process, address=address, log=log)

    def uri(self, name: str) -> str:
        """The URI of a photo."""
        return uri_from_path(os.fsencode(self.media / name))

    def items(self, names: Sequence[str]) -> list[image_pb2.ImageItem]:
        """Photos of a request, numbered from 100."""
        return [
            image_pb2.ImageItem(item_id=number, image=image_pb2.ImageSource(uri=self.uri(name)))
            for number, name in enumerate(names, start=100)
        ]


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def stop(process: subprocess.Popen[bytes]) -> int:
    process.terminate()
    try:
        return process.wait(timeout=DEADLINE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


async def until_serving(service: Service) -> None:
    """Wait until the health check says SERVING."""
    async with grpc.aio.insecure_channel(service.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        async with asyncio.timeout(DEADLINE_SECONDS):
            async for answer in stub.Watch(request, wait_for_ready=True):
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
    raise AssertionError(f"the health check ended: {service.log.read_text()}")


async def _make_stream(url: str) -> None:
    client = await nats.connect(url, max_reconnect_attempts=100, reconnect_time_wait=0.05)
    await client.jetstream().add_stream(stream_config(StreamLimits()))
    await client.close()


@contextmanager
def worker_stack(folder: Path) -> Iterator[Stack]:
    """A NATS server and photos; the services that are started with it are stopped afterwards."""
    media = folder / "photos"
    media.mkdir()
    pictures = resources.files("skimage.data")
    for name in ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"):
        (media / name).write_bytes((pictures / name).read_bytes())
    (media / "six people.jpg").write_bytes((resources.files("insightface.data") / "images" / "t1.jpg").read_bytes())
    (media / "broken.jpg").write_bytes((pictures / "rocket.jpg").read_bytes()[:5000])
    (media / "text.jpg").write_text("no photo")
    Image.new("RGB", (64, 64), "navy").save(media / "small.png")
    with nats_server(folder) as url:
        asyncio.run(_make_stream(url))
        stack = Stack(nats_url=url, media=media, folder=folder)
        yield stack
        for process in stack.started:
            stop(process)
