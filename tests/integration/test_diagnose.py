"""`triptych diagnose`: one file with what is needed to help, whatever is down, and nothing that is private."""

import json
import os
import stat
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.support.ports import free_port
from tests.support.running_triptych import clean_environment, triptych

SECRETS = {
    "TRIPTYCH_TOKEN": "planted-token-1",
    "AWS_SECRET_ACCESS_KEY": "planted-key-2",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=planted-header-3",
}
ROOT = "/nowhere/planted-root"
PHOTO = f"{ROOT}/planted person/birthday at grandma's.jpg"
LOG = f"""2026-11-27T07:00:00Z [warning  ] a photo failed   path={PHOTO} code=corrupt
2026-11-27T07:00:01Z [error    ] request failed   headers={{'authorization': 'Bearer planted-bearer-4'}}
2026-11-27T07:00:02Z [error    ] cannot connect to nats://triptych:planted-password-5@127.0.0.1:4222
2026-11-27T07:00:03Z [info     ] shard done   done=32
2026-11-27T07:00:04Z [info     ] a stray planted-file-8 in the middle
"""


def diagnose(data: Path, environment: Mapping[str, str], *options: str) -> tuple[Path, str]:
    """The bundle, and what was said beside its path."""
    output = data / "bundle.zip"
    arguments: list[str | Path] = [
        "diagnose",
        "--data-dir",
        data,
        "--output",
        output,
        "--url",
        f"http://127.0.0.1:{free_port()}",
    ]
    done = subprocess.run(
        triptych(*arguments, *options),
        env=clean_environment() | SECRETS | {"TRIPTYCH_MEDIA_ROOTS": ROOT} | dict(environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(output)]
    return output, done.stderr


def contents(bundle: Path) -> dict[str, str]:
    """Name → text of all that is in it."""
    with zipfile.ZipFile(bundle) as archive:
        return {name.partition("/")[2]: archive.read(name).decode() for name in archive.namelist()}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory in which something was logged."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "gateway.log").write_text(LOG)
    (tmp_path / "nats").mkdir()
    (tmp_path / "nats" / "gateway.password").write_text("planted-file-8\n")
    return tmp_path


@pytest.fixture
async def planted_database_url(database_url: str) -> str:
    """A catalogue with a session whose discovery failed on a photo."""
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        session_id = await connection.fetchval(
            """INSERT INTO sessions (name, root_path, weights, status, error_code, error_message)
            VALUES ('planted name', $1, '{}', 'failed', 'discovery_failed', $2) RETURNING id""",
            ROOT.encode(),
            f"{PHOTO} cannot be read",
        )
        await connection.execute(
            "INSERT INTO session_problems (session_id, path, code, message) VALUES ($1, $2, 'permission_denied', 'no')",
            session_id,
            PHOTO.encode(),
        )
    finally:
        await connection.close()
    return database_url


def test_a_bundle_has_what_is_needed_and_nothing_that_was_planted(
    data: Path, planted_database_url: str, shared_nats_url: str
) -> None:
    bundle, said = diagnose(data, {"DATABASE_URL": planted_database_url, "NATS_URL": shared_nats_url})
    found = contents(bundle)

    assert "planted" not in json.dumps(found) + said
    assert stat.S_IMODE(os.stat(bundle).st_mode) == 0o600  # noqa: PTH116 - of the file itself
    database: dict[str, Any] = json.loads(found["database.json"])
    assert database["migration"]
    assert {"assets", "faces", "runs"} <= {table["name"] for table in database["tables"]}
    assert (database["sessions"][0]["status"], database["sessions"][0]["error_code"]) == ("failed", "discovery_failed")
    assert database["unread_while_discovering"][0]["code"] == "permission_denied"
    assert json.loads(found["nats.json"])["version"]
    assert json.loads(found["versions.json"])["distributions"]["triptych-gateway"]
    settings = json.loads(found["settings.json"])
    assert settings["TRIPTYCH_TOKEN"] == settings["AWS_SECRET_ACCESS_KEY"] == "***"
    assert any(one["check"] == "Disk space" for one in json.loads(found["doctor.json"]))
    log = found["logs/gateway.log"].splitlines()
    assert "[warning  ] a photo failed   path=<media root" in log[0]
    assert log[3] == LOG.splitlines()[3]


def test_what_is_down_is_told_and_the_rest_is_there(data: Path) -> None:
    nothing = f"127.0.0.1:{free_port()}"
    environment = {
        "DATABASE_URL": f"postgresql://triptych:planted-6@{nothing}/triptych",
        "NATS_URL": f"nats://triptych:planted-7@{nothing}",
        "TRIPTYCH_METRICS_LISTEN": nothing,
    }

    bundle, said = diagnose(data, environment)

    found = contents(bundle)
    missing = json.loads(found["missing.json"])
    assert {"database", "nats", "gateway", "services", "metrics of gateway"} <= missing.keys()
    assert "planted" not in json.dumps(found) + said
    assert {"logs/gateway.log", "versions.json", "settings.json", "doctor.json"} <= found.keys()
    assert "Not in it: database" in said


def test_where_there_is_nothing_at_all_that_is_told(tmp_path: Path) -> None:
    bundle, _ = diagnose(tmp_path, {})

    missing = json.loads(contents(bundle)["missing.json"])
    assert missing["database"] == "nothing runs on the data directory, and DATABASE_URL names no server"
    assert {"nats", "gateway", "services", "metrics", "logs"} <= missing.keys()


def test_names_stay_where_they_are_asked_for_and_secrets_do_not(data: Path) -> None:
    bundle, _ = diagnose(data, {}, "--with-names")

    log = contents(bundle)["logs/gateway.log"]
    assert PHOTO in log
    assert "planted-bearer" not in log
    assert "planted-password" not in log


def test_a_file_that_is_there_is_not_written_over(data: Path) -> None:
    (data / "bundle.zip").write_text("mine")
    done = subprocess.run(
        triptych("diagnose", "--data-dir", data, "--output", data / "bundle.zip"),
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 1
    assert "cannot be written: File exists. Name another with --output." in done.stderr
    assert (data / "bundle.zip").read_text() == "mine"
