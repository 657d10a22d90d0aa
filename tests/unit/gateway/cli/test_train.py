"""`triptych train` as it is typed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner, Result

from triptych_gateway.cli.train import train

if TYPE_CHECKING:
    from tests.unit.gateway.cli.conftest import ContractGateway

DEADLINE_SECONDS = 30.0
PROGRAM = "import typer; from triptych_gateway.cli.train import train; typer.run(train)"


def _invoke(*arguments: str) -> Result:
    application = typer.Typer()
    application.command()(train)
    return CliRunner().invoke(application, arguments, env={"COLUMNS": "200"}, catch_exceptions=False)


def test_a_session_is_named_after_its_directory_and_given_the_whole_path(
    gateway: "ContractGateway", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _invoke("sub/../summer 2025", "--url", f"{gateway.url}/").exit_code == 0
    (created,) = gateway.created
    assert (created["name"], created["rootPath"]) == ("summer 2025", str(tmp_path / "summer 2025"))


def test_the_sample_library_is_made_in_the_data_directory_and_trained_on(
    gateway: "ContractGateway", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIPTYCH_DATA_DIR", str(tmp_path / "data"))
    for _ in range(2):
        assert _invoke("--samples", "--url", gateway.url).exit_code == 0
    assert [session["rootPath"] for session in gateway.created] == [str(tmp_path / "data" / "samples")] * 2
    manifest = json.loads((tmp_path / "data" / "samples" / "samples.json").read_text())
    assert len(manifest["photos"]) == 30


@pytest.mark.parametrize("arguments", [[], ["photos", "--samples"]])
def test_one_place_to_train_on_is_named(gateway: "ContractGateway", arguments: list[str]) -> None:
    result = _invoke(*arguments, "--url", gateway.url)
    assert result.exit_code == 2
    assert "name one DIRECTORY, or --samples" in result.output
    assert gateway.created == []


def test_a_name_of_ones_own_is_kept(gateway: "ContractGateway", tmp_path: Path) -> None:
    assert _invoke(str(tmp_path), "--name", "Été", "--url", gateway.url).exit_code == 0
    assert gateway.created[0]["name"] == "Été"


def test_json_ends_standard_output(gateway: "ContractGateway", tmp_path: Path) -> None:
    result = _invoke(str(tmp_path), "--json", "--url", gateway.url)
    assert result.exit_code == 0
    assert json.loads(result.stdout.splitlines()[-1])["status"] == "completed"


@pytest.mark.parametrize("options", [["--port", "9000"], ["--data-dir", "/somewhere"], ["--port", "0"]])
def test_options_that_contradict_each_other_are_usage_errors(gateway: "ContractGateway", options: list[str]) -> None:
    result = _invoke("photos", "--url", gateway.url, *options)
    assert result.exit_code == 2
    assert gateway.created == []


def test_a_gateway_on_the_named_port_is_used(gateway: "ContractGateway", tmp_path: Path) -> None:
    result = _invoke(str(tmp_path), "--port", str(gateway.port), "--data-dir", str(tmp_path / "data"))
    assert result.exit_code == 0
    assert "it uses its own data, not --data-dir" in result.stdout
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("number", "exit_status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command_and_not_the_session(
    gateway: "ContractGateway", tmp_path: Path, number: signal.Signals, exit_status: int
) -> None:
    gateway.holds_at = 1
    command = [sys.executable, "-c", PROGRAM, os.fspath(tmp_path), "--url", gateway.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert gateway.holding.wait(DEADLINE_SECONDS)
        process.send_signal(number)
        output, messages = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == exit_status
    assert b"session 7 goes on in the gateway" in output
    assert messages == b""
