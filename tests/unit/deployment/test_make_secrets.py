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
    for volume in ("nats", "postgres", "migrate", *PERMISSIONS):
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
    assert len({files[f"{user}/NATS_URL"] for user in PERMISSIONS}) == len(PERMISSIONS)
    assert len({content for name, content in files.items() if name.endswith("TRIPTYCH_SERVICE_TOKEN")}) == 1
    for user in PERMISSIONS:
        password = files[f"{user}/NATS_URL"].partition("@")[0].rpartition(":")[2]
        assert {name for name, content in files.items() if password in content} == {
            f"{user}/NATS_URL",
            "nats/nats.conf",
        }


def test_the_owner_of_the_catalogue_is_known_to_what_ends_by_itself(run: Run) -> None:
    files = run()

    assert {name for name, content in files.items() if files["postgres/password"] in content} == {
        "postgres/password",
        "migrate/TRIPTYCH_DATABASE_OWNER_URL",
        "backup/DATABASE_URL",
    }
    assert files["gateway/DATABASE_URL"] == files["migrate/DATABASE_URL"]
    assert files["gateway/DATABASE_URL"].startswith("postgresql://triptych_gateway:")


def test_what_was_made_stays(run: Run) -> None:
    assert run() == run()


@pytest.mark.parametrize("lost", ["migrate/TRIPTYCH_DATABASE_OWNER_URL", "nats/nats.conf", "cluster/NATS_URL"])
def test_what_is_missing_is_made_and_the_rest_stays(run: Run, tmp_path: Path, lost: str) -> None:
    before = run()
    (tmp_path / lost).unlink()

    after = run()

    assert after.keys() == before.keys()
    changed = {name for name in before if after[name] != before[name]}
    # A password that is lost is another one afterwards, also to the server.
    assert changed == ({"cluster/NATS_URL", "nats/nats.conf"} if lost == "cluster/NATS_URL" else set())


def test_who_may_do_what_at_nats_is_as_this_version_has_it(run: Run, tmp_path: Path) -> None:
    before = run()
    (tmp_path / "nats" / "nats.conf").write_text(before["nats/nats.conf"].replace("progress.v1.*.training", "of old"))

    assert run() == before


def test_an_installation_of_an_earlier_version_keeps_the_password_of_its_database(run: Run, tmp_path: Path) -> None:
    (tmp_path / "postgres" / "password").write_text("as it was")
    (tmp_path / "nats" / "nats.conf").write_text("of one user")
    (tmp_path / "embedder" / "NATS_URL").write_text("nats://triptych:of-all@nats:4222")
    # Gateways were the owner then.
    (tmp_path / "gateway" / "DATABASE_URL").write_text("postgresql://triptych:as it was@postgres/triptych")

    files = run()

    assert files["postgres/password"] == "as it was"
    assert files["backup/DATABASE_URL"] == "postgresql://triptych:as it was@postgres/triptych"
    assert "as it was" not in files["gateway/DATABASE_URL"]
    assert "embedder" in files["nats/nats.conf"]
    assert files["embedder/NATS_URL"].startswith("nats://embedder:")
    assert "of-all" not in files["embedder/NATS_URL"]


def test_nats_takes_its_configuration(run: Run, tmp_path: Path) -> None:
    run()
    server = Path(sys.executable).with_name("nats-server")
    tested = subprocess.run(
        [server, "-t", "--config", tmp_path / "nats" / "nats.conf"], capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stderr
