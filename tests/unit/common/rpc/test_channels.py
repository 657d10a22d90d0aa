"""The pool of replicas: which one a call goes to, how dead ones are left alone and found again, how names change."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from tests.support.ports import free_port
from triptych_common.errors import AwayError
from triptych_common.rpc import channels
from triptych_common.rpc.channels import Replica, ReplicaPool

_DEADLINE_SECONDS = 30
_REQUEST = health_pb2.HealthCheckRequest()


class _Names:
    """A name server: what each name stands for, or no entry where it does not answer for it."""

    def __init__(self) -> None:
        self.numbers: dict[str, list[str]] = {}

    async def getaddrinfo(self, host: str, port: int, *, type: int) -> list[tuple[object, ...]]:  # noqa: A002
        if host not in self.numbers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, type, 6, "", (number, port)) for number in self.numbers[host]]


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> _Names:
    served = _Names()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", served.getaddrinfo)
    return served


class _Servers:
    """Real gRPC servers with the health service."""

    def __init__(self) -> None:
        self._running: dict[int, grpc.aio.Server] = {}

    async def start(self, port: int) -> None:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        self._running[port] = server

    async def start_several(self, count: int) -> list[int]:
        ports = [free_port() for _ in range(count)]
        for port in ports:
            await self.start(port)
        return ports

    def drain(self, port: int) -> asyncio.Task[None]:
        """Refuse new calls, and let those in flight end."""
        return asyncio.create_task(self._running.pop(port).stop(_DEADLINE_SECONDS))

    async def stop(self, port: int) -> None:
        await self._running.pop(port).stop(0)

    async def stop_all(self) -> None:
        for port in list(self._running):
            await self.stop(port)


@pytest.fixture
async def servers() -> AsyncIterator[_Servers]:
    started = _Servers()
    yield started
    await started.stop_all()


@pytest.fixture
def long_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was away rests for longer than any test takes."""
    monkeypatch.setattr(channels, "_FIRST_REST_SECONDS", 3600.0)
    monkeypatch.setattr(channels, "_LONGEST_REST_SECONDS", 3600.0)


def _pool(*ports: int) -> ReplicaPool:
    return ReplicaPool([f"127.0.0.1:{port}" for port in ports], service="test")


async def _call(pool: ReplicaPool) -> str:
    """Call the replica that the pool gives; its address. Raises grpc.aio.AioRpcError."""
    async with pool.take() as replica:
        await health_pb2_grpc.HealthStub(replica.channel).Check(_REQUEST, timeout=10)
        return replica.address


async def _call_whoever_answers(pool: ReplicaPool) -> str:
    """Call until one answers; its address."""
    while True:
        try:
            return await _call(pool)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(_DEADLINE_SECONDS):
        while True:
            if holds():
                return
            await asyncio.sleep(0.005)


async def _fail(pool: ReplicaPool, code: grpc.StatusCode) -> str:
    """Have a call fail on whatever replica the pool gives; its address."""
    address = ""
    with pytest.raises(grpc.aio.AioRpcError):
        async with pool.take() as replica:
            address = replica.address
            raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata())
    return address


async def test_calls_go_to_the_replica_with_the_least_in_flight(servers: _Servers) -> None:
    ports = await servers.start_several(3)
    async with _pool(*ports) as pool, pool.take() as first, pool.take() as second:
        async with pool.take() as third:
            assert {first.address, second.address, third.address} == {f"127.0.0.1:{port}" for port in ports}
        async with pool.take() as fourth:
            assert fourth is third
        assert (first.in_flight, second.in_flight, third.in_flight) == (1, 1, 0)


async def test_without_any_replica_it_says_so(names: _Names) -> None:
    async with ReplicaPool(["nowhere:50051"], service="embedder") as pool:
        assert names.numbers == {}
        assert not pool.addresses
        with pytest.raises(AwayError) as raised:
            async with pool.take():
                raise AssertionError("there is none to take")
    assert raised.value.reason == "NO_REPLICA"
    assert "embedder" in raised.value.message


@pytest.mark.usefixtures("long_rests")
async def test_a_dead_replica_is_left_alone_while_others_answer(servers: _Servers) -> None:
    alive, dead = free_port(), free_port()
    await servers.start(alive)
    async with asyncio.timeout(_DEADLINE_SECONDS), _pool(dead, alive) as pool:
        assert await _call_whoever_answers(pool) == f"127.0.0.1:{alive}"
        for _ in range(20):
            assert await _call(pool) == f"127.0.0.1:{alive}"


async def test_a_replica_that_comes_back_gets_calls_again(servers: _Servers) -> None:
    ports = {f"127.0.0.1:{port}": port for port in (free_port(), free_port())}
    for port in ports.values():
        await servers.start(port)
    async with asyncio.timeout(_DEADLINE_SECONDS), _pool(*ports.values()) as pool:
        restarted = await _call(pool)
        await servers.stop(ports[restarted])
        assert await _call_whoever_answers(pool) != restarted
        await servers.start(ports[restarted])
        answering = ""
        while answering != restarted:
            answering = await _call_whoever_answers(pool)


async def test_a_replica_that_drains_gets_no_call_and_ends_those_that_it_has(servers: _Servers) -> None:
    ports = {f"127.0.0.1:{port}": port for port in await servers.start_several(2)}
    async with asyncio.timeout(_DEADLINE_SECONDS), _pool(*ports.values()) as pool, pool.take() as draining:
        watching = health_pb2_grpc.HealthStub(draining.channel).Watch(_REQUEST)
        await watching.read()
        assert draining.is_ready(0.0)

        stopping = servers.drain(ports.pop(draining.address))
        await _until(lambda: draining.channel.get_state() is not grpc.ChannelConnectivity.READY)
        # It has nothing but this one in flight, and would be the next.
        draining.in_flight = -1
        assert {await _call(pool) for _ in range(20)} == set(ports)

        assert not watching.done()
        watching.cancel()
        await stopping
        draining.in_flight = 1


async def test_where_all_are_away_one_is_given_all_the_same() -> None:
    async with _pool(free_port(), free_port()) as pool:
        for _ in range(4):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await _call(pool)
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.usefixtures("long_rests")
async def test_a_replica_that_answers_unavailable_rests(servers: _Servers) -> None:
    async with _pool(*await servers.start_several(2)) as pool:
        draining = await _fail(pool, grpc.StatusCode.UNAVAILABLE)
        async with pool.take() as first, pool.take() as second:
            assert draining not in {first.address, second.address}


@pytest.mark.parametrize("code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL])
async def test_other_errors_are_answers(code: grpc.StatusCode, servers: _Servers) -> None:
    async with _pool(*await servers.start_several(2)) as pool:
        failing = await _fail(pool, code)
        async with pool.take() as first, pool.take() as second:
            assert failing in {first.address, second.address}


async def test_a_call_that_ends_in_any_way_is_no_longer_in_flight() -> None:
    async with _pool(1) as pool:
        await _fail(pool, grpc.StatusCode.UNAVAILABLE)
        with pytest.raises(ValueError, match="of the work"):
            async with pool.take():
                raise ValueError("of the work")
        async with pool.take() as replica:
            assert replica.in_flight == 1
        assert replica.in_flight == 0


async def test_rests_grow_up_to_a_bound_count_failures_together_once_and_end_with_an_answer(
    servers: _Servers,
) -> None:
    port = free_port()
    await servers.start(port)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        replica = Replica(f"127.0.0.1:{port}", channel)
        now, rests = 1000.0, []
        for _ in range(8):
            replica.was_away(now)
            rests.append(replica.rests_until - now)
            replica.was_away(now + 0.1)
            assert not replica.is_ready(now + 0.1)
            now = replica.rests_until
        assert rests == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]
        assert replica.failures == 8
        assert replica.is_ready(now)
        replica.in_flight = 1
        assert not replica.is_ready(now), "one call tries it, the others wait for what comes of it"
        replica.has_answered()
        assert replica.is_ready(0.0)


async def test_new_replicas_of_a_name_are_found_and_old_ones_left(names: _Names) -> None:
    names.numbers["workers"] = ["10.0.0.1", "10.0.0.2"]
    async with ReplicaPool(["workers:50051"], service="test", resolve_seconds=0.01) as pool:
        assert pool.addresses == {"10.0.0.1:50051", "10.0.0.2:50051"}
        names.numbers["workers"] = ["10.0.0.2", "10.0.0.3", "fd00::4"]
        await _until(lambda: pool.addresses == {"10.0.0.2:50051", "10.0.0.3:50051", "[fd00::4]:50051"})


async def test_a_replica_that_leaves_finishes_its_call_and_is_then_closed(names: _Names) -> None:
    names.numbers["workers"] = ["10.0.0.1"]
    async with ReplicaPool(["workers:50051"], service="test", resolve_seconds=0.01) as pool:
        async with pool.take() as leaving:
            names.numbers["workers"] = ["10.0.0.2"]
            await _until(lambda: leaving.leaving)
            assert leaving.channel.get_state() is not grpc.ChannelConnectivity.SHUTDOWN
            async with pool.take() as other:
                assert other.address == "10.0.0.2:50051"
        assert leaving.channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN


async def test_a_name_server_that_is_away_does_not_take_replicas_with_it(names: _Names) -> None:
    names.numbers = {"here": ["10.0.0.1"], "there": ["10.0.0.2"]}
    with capture_logs() as logs:
        async with ReplicaPool(["here:50051", "there:50051"], service="test", resolve_seconds=0.01) as pool:
            del names.numbers["there"]
            await _until(lambda: any(line["event"] == "address does not resolve" for line in logs))
            assert len(pool.addresses) == 2
            names.numbers = {}
            seen = len(logs)
            await _until(lambda: len(logs) >= seen + 4)
            assert len(pool.addresses) == 2
            names.numbers["there"] = ["10.0.0.3", "10.0.0.4"]
            await _until(lambda: len(pool.addresses) == 3)


async def test_leaving_the_pool_closes_every_channel_and_ends_its_task() -> None:
    before = asyncio.all_tasks()
    async with _pool(1, 2) as pool, pool.take() as first, pool.take() as second:
        pass
    assert {one.channel.get_state() for one in (first, second)} == {grpc.ChannelConnectivity.SHUTDOWN}
    assert asyncio.all_tasks() == before
