"""Three real NATS servers with the configuration that the manifests give them: by TLS alone, also among each other."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import nats.errors
import pytest

from tests.support.nats_server import NatsServer
from tests.support.ports import free_port
from tests.support.real_servers import eventually
from tools.deployment.broker import with_certificates
from tools.deployment.manifests import OVERLAYS, build, named
from triptych_common.progress.events import PHASES_BY_NAME, StreamLimits, stream_config, subject_of
from triptych_common.progress.permissions import PERMISSIONS, password_variable
from triptych_common.progress.publisher import close_nats, connect_nats

ROUTE = "of-routes"


@pytest.fixture
async def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[NatsServer]]:
    """They run, and this process knows the authority of their certificate."""
    manifest = named(build(OVERLAYS / "managed"), "ConfigMap")["nats"]["data"]["nats.conf"]
    configuration = with_certificates(manifest, tmp_path)
    for user in PERMISSIONS:
        monkeypatch.setenv(password_variable(user), f"of-{user}")
    monkeypatch.setenv("NATS_ROUTE_PASSWORD", ROUTE)
    ports = [free_port() for _ in range(3)]
    routes = ",".join(f"nats://route:{ROUTE}@127.0.0.1:{port}" for port in ports)
    running: list[NatsServer] = []
    try:
        for number, port in enumerate(ports):
            folder = tmp_path / str(number)
            folder.mkdir()
            here = {"0.0.0.0:6222": f"127.0.0.1:{port}", "0.0.0.0:8222": "127.0.0.1:-1", "store_dir: /data, ": ""}
            text = configuration
            for there, instead in here.items():
                assert there in text
                text = text.replace(there, instead)
            (folder / "nats.conf").write_text(text)
            monkeypatch.setenv("NATS_SERVER_NAME", f"nats-{number}")
            options = ("--config", str(folder / "nats.conf"), "--routes", routes)
            running.append(NatsServer(folder=folder, options=options))
            await running[-1].start()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        yield running
    finally:
        for server in running:
            server.stop()


def url_of(servers: list[NatsServer], user: str) -> str:
    return ",".join(f"tls://{user}:of-{user}@127.0.0.1:{server.port}" for server in servers)


async def test_three_servers_keep_a_stream_together_and_are_spoken_to_by_tls(servers: list[NatsServer]) -> None:
    progress = await connect_nats(url_of(servers, "progress"), name="progress")
    embedder = await connect_nats(url_of(servers, "embedder"), name="embedder")
    try:

        async def is_kept() -> bool:
            try:
                info = await progress.jetstream().add_stream(stream_config(StreamLimits(replicas=3)))
            except nats.errors.Error:
                return False
            return info.cluster is not None and len(info.cluster.replicas or ()) == 2

        await eventually(is_kept, "the servers know each other and keep the stream")
        subject = subject_of(1, PHASES_BY_NAME["training"])
        acknowledged = await embedder.jetstream().publish(subject, b"some progress")
        assert acknowledged.seq == 1
    finally:
        await close_nats(progress)
        await close_nats(embedder)


async def test_nobody_is_spoken_to_in_the_clear_or_by_another_authority(
    servers: list[NatsServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", servers[0].port)
    told = json.loads((await reader.readline()).removeprefix(b"INFO "))
    assert told["tls_required"]
    assert "connect_urls" not in told
    writer.write(b'CONNECT {"user": "embedder", "pass": "of-embedder", "verbose": true}\r\nPING\r\n')
    assert b"+OK" not in await reader.read()
    writer.close()

    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ssl.SSLCertVerificationError):
        await nats.connect(url_of(servers[:1], "embedder"), allow_reconnect=False, max_reconnect_attempts=1)
