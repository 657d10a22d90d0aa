"""What each service is told, ports, and which service a changed file concerns."""

import asyncio
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from triptych_gateway.cli.places import places_in
from triptych_gateway.cli.stack import nats_server, postgres, reload
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.ports import choose_ports, is_free, require_free
from triptych_gateway.cli.stack.reload import concerned_services, service_sources
from triptych_gateway.cli.stack.services import GATEWAY, GRPC_SERVICES, ServiceEnvironment
from triptych_gateway.cli.stack.waiting import wait_until
from triptych_gateway.cli.up import model_lines

ENVIRONMENT = ServiceEnvironment(
    nats_urls={name: f"nats://{name}@n" for name in (*GRPC_SERVICES, GATEWAY)},
    service_token="shown to each other",
    database_url="postgresql://d",
    data_directory=Path("/data"),
    media_roots=(Path("/photos"), Path("/data/samples")),
    addresses={name: f"127.0.0.1:{20_000 + number}" for number, name in enumerate(GRPC_SERVICES)},
    http_host="127.0.0.1",
    http_port=8000,
    models_directory=Path("/data/models"),
    inherited={"TRIPTYCH_LOG_LEVEL": "debug", "DATABASE_URL": "inherited", "NATS_URL": "inherited"},
)


def test_a_model_is_told_to_the_service_that_runs_it() -> None:
    environment = replace(ENVIRONMENT, models={"embedder": "production"}, inherited={"TRIPTYCH_MODEL": "bundled"})
    assert environment.of("embedder")["TRIPTYCH_MODEL"] == "production"
    assert environment.of("facedetect")["TRIPTYCH_MODEL"] == "bundled"


@pytest.mark.parametrize("name", GRPC_SERVICES)
def test_a_service_gets_no_database_and_its_own_address(name: str) -> None:
    told = ENVIRONMENT.of(name)
    assert "DATABASE_URL" not in told
    assert told["TRIPTYCH_LISTEN"] == ENVIRONMENT.addresses[name]
    assert told["NATS_URL"] == f"nats://{name}@n"
    assert told["TRIPTYCH_MEDIA_ROOTS"] == f"/photos{os.pathsep}/data/samples"
    assert told["TRIPTYCH_LOG_LEVEL"] == "debug"
    assert told["TRIPTYCH_SERVICE_TOKEN"] == ENVIRONMENT.of(GATEWAY)["TRIPTYCH_SERVICE_TOKEN"] == "shown to each other"


def test_the_gateway_gets_the_database_and_every_address() -> None:
    told = ENVIRONMENT.of(GATEWAY)
    assert told["DATABASE_URL"] == "postgresql://d"
    assert "TRIPTYCH_LISTEN" not in told
    for name in GRPC_SERVICES:
        assert told[f"TRIPTYCH_{name.upper()}_ADDRESSES"] == ENVIRONMENT.addresses[name]


def test_each_process_serves_its_metrics_on_a_port_of_its_own() -> None:
    environment = replace(ENVIRONMENT, inherited={"TRIPTYCH_METRICS_LISTEN": "127.0.0.1:9100"})
    told = {name: environment.of(name)["TRIPTYCH_METRICS_LISTEN"] for name in (*GRPC_SERVICES, GATEWAY)}
    assert told == {
        "progress": "127.0.0.1:9100",
        "embedder": "127.0.0.1:9101",
        "facedetect": "127.0.0.1:9102",
        "cluster": "127.0.0.1:9103",
        "gateway": "127.0.0.1:9104",
    }


def test_chosen_ports_are_free_different_and_not_for_outgoing_connections() -> None:
    ports = choose_ports("127.0.0.1", 6)
    assert len(set(ports)) == 6
    assert all(port < 32_768 and is_free("127.0.0.1", port) for port in ports)


def test_a_taken_port_is_a_sentence_that_names_its_holder() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(StackError, match=rf"Port {port} on 127\.0\.0\.1 is taken by .*--port"):
            require_free("127.0.0.1", port)


def test_a_change_concerns_its_service_and_what_is_shared_concerns_all() -> None:
    sources = service_sources()
    by_service = {next(iter(names)): path for path, names in sources.items() if len(names) == 1}
    assert concerned_services([by_service["embedder"] / "main.py"], sources) == {"embedder"}
    assert concerned_services([by_service["gateway"] / "cli" / "up.py"], sources) == frozenset()
    shared = next(path for path, names in sources.items() if path.name == "triptych_common")
    assert concerned_services([shared / "settings.py"], sources) == {*GRPC_SERVICES, GATEWAY}
    assert concerned_services([Path("/elsewhere.py")], sources) == frozenset()


async def test_a_file_that_changes_restarts_its_service_and_stopping_ends_the_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path
    monkeypatch.setattr(reload, "service_sources", lambda: {source: frozenset({"embedder"})})
    stop = asyncio.Event()

    async def change_until_stopped() -> None:
        # Each change is one that the watch may still have been too young to see.
        def changed() -> bool:
            (source / "main.py").write_text(f"{os.urandom(8)!r}\n", encoding="utf-8")
            return stop.is_set()

        assert await wait_until(changed, deadline_seconds=60, interval_seconds=0.1)

    async with asyncio.TaskGroup() as group:
        group.create_task(change_until_stopped())
        async for names in reload.changed_services(stop):
            assert names == {"embedder"}
            stop.set()


def test_servers_show_only_what_deserves_a_look() -> None:
    assert nats_server.is_worth_showing("[1] 2026/01/01 [WRN] slow consumer")
    assert not nats_server.is_worth_showing("[1] [WRN] Plaintext passwords detected, use nkeys or bcrypt")
    assert not nats_server.is_worth_showing("[1] [INF] Server is ready")
    assert postgres.is_worth_showing("2026 UTC [1] FATAL:  out of memory")
    assert not postgres.is_worth_showing("2026 UTC [1] FATAL:  the database system is starting up")


def test_models_are_shown_with_their_notice_and_made_printable() -> None:
    health = {
        "status": "ok",
        "services": {
            "embedder": {"status": "ok", "model": "m\x1b", "pack": "bundled", "device": "cpu", "notice": "Not CLIP."},
            "progress": {"status": "ok", "model": None},
        },
    }
    assert model_lines(health) == ["embedder: m\\x1b (bundled, cpu) – Not CLIP."]
    assert model_lines({}) == []


def test_media_roots_are_separated_as_in_path_and_may_be_buckets() -> None:
    named = os.pathsep.join(["/a", "", "s3://bucket/photos/", "/b"])
    assert places_in({"TRIPTYCH_MEDIA_ROOTS": named}) == (Path("/a"), "s3://bucket/photos", Path("/b"))
    assert places_in({}) == ()


def test_keys_to_buckets_are_told_to_those_who_read_photos() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}
    environment = replace(ENVIRONMENT, inherited=keys, media_roots=(Path("/a"), "s3://bucket/photos"))
    told = {name: environment.of(name) for name in (*GRPC_SERVICES, GATEWAY)}
    assert {name for name, one in told.items() if keys.items() <= one.items()} == {"embedder", "facedetect", GATEWAY}
    assert not any(told[name].keys() & keys.keys() for name in ("progress", "cluster"))
    assert told[GATEWAY]["TRIPTYCH_MEDIA_ROOTS"] == f"/a{os.pathsep}s3://bucket/photos"
