"""`triptych search` as it is typed, against the real gateway."""

from collections.abc import Callable, Iterator

import httpx
import pytest
from typer.testing import CliRunner, Result

from tests.support.real_servers import wait_for
from tests.support.running_gateway import Gateway
from triptych_gateway.cli.app import app

MODEL = "of-the-command-line/1"


def invoke(gateway: Gateway, *arguments: str) -> Result:
    return CliRunner().invoke(
        app, ["search", *arguments, "--url", gateway.url], env={"COLUMNS": "200"}, catch_exceptions=False
    )


@pytest.fixture
def space(client: httpx.Client, alter: Callable[..., None]) -> Iterator[None]:
    """A model with one photo."""
    alter("INSERT INTO assets (path, size_bytes, modified_ns) VALUES ('/of-the-command-line', 1, 1)")
    alter(
        """INSERT INTO embeddings (asset_id, model_id, generation, asset_version, embedding)
        SELECT id, :model, 1, 1, '[1,2,3]' FROM assets WHERE path = '/of-the-command-line'""",
        model=MODEL,
    )
    wait_for(lambda: MODEL in client.get("/api/v1/search/index").text, "the model is known")
    yield
    alter("DELETE FROM embeddings WHERE model_id = :model", model=MODEL)
    wait_for(lambda: MODEL not in client.get("/api/v1/search/index").text, "the model is forgotten")
    alter("DELETE FROM assets WHERE path = '/of-the-command-line'")


@pytest.mark.usefixtures("space")
def test_the_index_is_built_anew_and_shown_and_that_may_be_done_twice(gateway: Gateway) -> None:
    for _ in range(2):
        built = invoke(gateway, "rebuild", "--model", MODEL)
        assert built.exit_code == 0
        assert "built" in built.output

    shown = invoke(gateway, "status")
    assert shown.exit_code == 0
    line = next(line for line in shown.stdout.splitlines() if MODEL in line)
    assert "comparing each" in line
    assert invoke(gateway, "rebuild", "--no-wait").exit_code == 0


def test_a_model_that_no_photo_has_is_one_sentence(gateway: Gateway) -> None:
    refused = invoke(gateway, "rebuild", "--model", "nobody/1")

    assert refused.exit_code == 1
    assert "No photo has an embedding of the model nobody/1." in refused.output
