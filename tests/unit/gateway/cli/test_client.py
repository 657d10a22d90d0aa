"""The client against a real server that speaks the contract."""

import socket
from typing import TYPE_CHECKING

import pytest

from triptych_gateway.cli.rest.client import GatewayClient
from triptych_gateway.cli.rest.errors import GatewayUnreachable, RequestRefused, UnexpectedAnswer

if TYPE_CHECKING:
    from tests.unit.gateway.cli.conftest import ContractGateway


async def test_reads_a_snapshot_and_ignores_keys_it_does_not_know(gateway: "ContractGateway") -> None:
    async with GatewayClient(gateway.url) as client:
        snapshot = await client.progress_unified(7)
        health = await client.health()
    assert (snapshot.overall_status, snapshot.phases.training.status, snapshot.revision) == ("running", "pending", 0)
    assert health.services["embedder"].status == "ready"


async def test_lists_are_read_page_after_page(gateway: "ContractGateway") -> None:
    gateway.failed_jobs = [gateway.failed_job(number) for number in range(1, 251)]
    gateway.problems = [{"path": f"/photos/{number}", "code": "permission_denied"} for number in range(101)]
    async with GatewayClient(gateway.url) as client:
        failed, problems, groups = await client.failed_jobs(7), await client.all_problems(7), await client.all_groups(7)
    assert [job.id for job in failed] == list(range(1, 251))
    assert (len(problems), len(groups)) == (101, 5)


async def test_an_error_of_the_contract_becomes_its_own_sentence(gateway: "ContractGateway") -> None:
    async with GatewayClient(gateway.url) as client:
        with pytest.raises(RequestRefused, match=r"^There is no session 9$") as caught:
            await client.session(9)
    error = caught.value
    assert (error.status_code, error.code, dict(error.details)) == (404, "session_not_found", {"a": 1})


@pytest.mark.parametrize(
    ("status", "body", "kind", "sentence"),
    [
        (500, {"detail": "Internal"}, UnexpectedAnswer, "answered 500"),
        (502, "<html>", GatewayUnreachable, r"is away \(502\)"),
        (200, {"items": 3}, UnexpectedAnswer, r"something else than this version knows \(status: Field required\)"),
    ],
)
async def test_other_answers_are_told_apart(
    gateway: "ContractGateway", status: int, body: object, kind: type[Exception], sentence: str
) -> None:
    gateway.refusals["/health"] = (status, body)
    async with GatewayClient(gateway.url) as client:
        with pytest.raises(kind, match=sentence):
            await client.health()


async def test_a_service_that_is_away_is_told_in_the_gateways_words(gateway: "ContractGateway") -> None:
    body = {"message": "The embedder is away", "error": {"code": "service_away", "message": "…", "details": {}}}
    gateway.refusals["/start"] = (503, body)
    async with GatewayClient(gateway.url) as client:
        with pytest.raises(GatewayUnreachable, match=r"^The embedder is away$"):
            await client.start(7)


async def test_a_refused_connection_says_where_and_what_to_do() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with GatewayClient(url) as client:
            with pytest.raises(GatewayUnreachable, match=f"no gateway answers at {url}: start one with `triptych up`"):
                await client.health()


async def test_paths_that_are_not_utf8_travel_both_ways(gateway: "ContractGateway") -> None:
    name = b"/photos/caf\xe9.jpg".decode(errors="surrogateescape")
    gateway.problems = [{"path": name, "code": "corrupt", "message": "cut short"}]
    async with GatewayClient(gateway.url) as client:
        await client.create_session(name="x", root_path=name)
        (problem,) = await client.all_problems(7)
    assert gateway.created[0]["rootPath"] == name
    assert problem.path == name


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://", "http://host:port"])
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="is not an address of a gateway"):
        GatewayClient(url)
