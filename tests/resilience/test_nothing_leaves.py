"""Nothing leaves the machine: a whole session in a network of its own, in which the kernel counts every attempt."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.ports import free_port
from tests.support.running_triptych import clean_environment, last_object, triptych, working_directory

PHOTOS: Final = 12
_ALONE: Final = ("unshare", "--net", "sh", "-c")
_SCRIPT: Final = (
    """ip link set lo up && "$@"; status=$?; cat /proc/net/snmp /proc/net/snmp6 > "$COUNTERS"; exit $status"""
)
"""Runs a command with loopback as its only interface, and keeps what the kernel counted meanwhile."""
_ASK_AROUND: Final = """
import contextlib, socket
for family, kind, address in (
    (socket.AF_INET, socket.SOCK_STREAM, "192.0.2.1"), (socket.AF_INET, socket.SOCK_DGRAM, "192.0.2.1"),
    (socket.AF_INET6, socket.SOCK_STREAM, "2001:db8::1"),
):
    with contextlib.suppress(OSError), socket.socket(family, kind) as one:
        one.connect((address, 443))
"""


def _has_networks() -> bool:
    try:
        return subprocess.run([*_ALONE, "ip link set lo up"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not _has_networks(), reason="a network of its own needs unshare(1), ip(8) and root")


def attempts(counters: Path) -> int:
    """How often something was to be sent to where no way leads: TCP, UDP (so questions to DNS too), IPv4 and IPv6."""
    lines = counters.read_text().splitlines()
    names, numbers = (line.split() for line in lines if line.startswith("Ip: "))
    of_ipv6 = next(line.split()[1] for line in lines if line.startswith("Ip6OutNoRoutes"))
    return int(dict(zip(names, numbers, strict=True))["OutNoRoutes"]) + int(of_ipv6)


def run_alone(counters: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command whose home is the counters' directory."""
    environment = clean_environment(COUNTERS=str(counters), HOME=str(counters.parent))
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    return subprocess.run(
        [*_ALONE, _SCRIPT, "sh", *command],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def test_what_asks_around_is_counted(tmp_path: Path) -> None:
    run_alone(tmp_path / "counters", sys.executable, "-c", _ASK_AROUND)
    assert attempts(tmp_path / "counters") == 3


@pytest.mark.timeout(900)
def test_a_whole_session_asks_for_nothing_beyond_this_machine() -> None:
    with working_directory() as directory:
        photos, counters = directory / "photos", directory / "counters"
        made = run_alone(counters, *triptych("samples", photos, "--count", str(PHOTOS)))
        assert made.returncode == 0, made.stderr
        assert attempts(counters) == 0

        port = ("--port", str(free_port()))
        done = run_alone(counters, *triptych("train", photos, "--json", "--data-dir", directory / "data", *port))

        assert done.returncode == 0, done.stderr
        assert last_object(done.stdout)["status"] == "completed", json.dumps(done.stdout[-2000:])
        assert attempts(counters) == 0
        # Where ONNX Runtime would keep what it means to send later.
        assert not list(directory.rglob(".onnxruntime"))
