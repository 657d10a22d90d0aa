"""The secrets of an installation under Compose: each container its own, made once."""

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.deployment.manifests import ROOT
from triptych_common.progress.permissions import PERMISSIONS

MAKE = ROOT / "deploy" / "compose" / "make_secrets.py"
Run = Callable[[], dict[str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs it over volumes that are empty at first; what is in them then."""
    for volume in ("nats", "postgres", *PERMISSIONS):
        (tmp_path / volume).mkdir()
    monkeypatch.setattr(sys, "argv", [str(MAKE), str(tmp_path)])

    def made() -> dict[str, str]:
        runpy.run_path(str(MAKE), run_name="__main__")
        return {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.glob("*/*")}

    return made


def test_each_knows_what_it_needs_and_nothing_of_others(run: Run) -> None:
    files = run()

    assert {name for name in files if name.startswith("embedder/")} == {
        "embedder/NATS_URL",
        "embedder/TRIPTYCH_SERVICE_TOKEN",
    }
    assert {name.partition("/")[0] for name in files if name.endswith("DATABASE_URL")} == {"gateway", "backup"}
    assert len({files[f"{user}/NATS_URL"] for user in PERMISSIONS}) == len(PERMISSIONS)
    assert len({content for name, content in files.items() if name.endswith("TRIPTYCH_SERVICE_TOKEN")}) == 1
    assert files["postgres/password"] in files["gateway/DATABASE_URL"]
    for user in PERMISSIONS:
        password = files[f"{user}/NATS_URL"].partition("@")[0].rpartition(":")[2]
        assert {name for name, content in files.items() if password in content} == {
            f"{user}/NATS_URL",
            "nats/nats.conf",
        }


def test_what_was_made_stays(run: Run) -> None:
    assert run() == run()


def test_an_installation_of_an_earlier_version_keeps_the_password_of_its_database(run: Run, tmp_path: Path) -> None:
    (tmp_path / "postgres" / "password").write_text("as it was")
    (tmp_path / "nats" / "nats.conf").write_text("of one user")

    files = run()

    assert files["postgres/password"] == "as it was"
    assert files["backup/DATABASE_URL"] == "postgresql://triptych:as it was@postgres/triptych"
    assert "embedder" in files["nats/nats.conf"]


def test_nats_takes_its_configuration(run: Run, tmp_path: Path) -> None:
    run()
    server = Path(sys.executable).with_name("nats-server")
    tested = subprocess.run(
        [server, "-t", "--config", tmp_path / "nats" / "nats.conf"], capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stderr
