"""Speed of the gateway's answers about progress, with the whole real stack and 1,000 live sessions.

The stack is that of `triptych up`, in a directory of its own: PostgreSQL, NATS, all services, one gateway. Events of
the sessions keep coming, as many per second as there are sessions.

- ``p50_ms``, ``p99_ms``: GET progress-unified at 200 requests per second, over all sessions.
- ``max_rps``: the same with 32 connections of wrk, as fast as they are answered.
- ``p50_ratio_1m_over_1k``: a session of 1,000,000 photos beside one of 1,000.
- ``sse_lag_p99_ms``: from an event's reaching NATS until a reader of its session's stream has the snapshot with it,
  with ``sse_readers`` streams open.

It needs wrk (https://github.com/wg/wrk; Debian: apt-get install wrk).

python benchmarks/gateway.py
"""

import argparse
import asyncio
import json
import re
import shutil
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.gateway_sessions import LiveSessions, make_sessions
from triptych_gateway.cli.stack.stack import Stack, StackOptions

SESSIONS: Final = 1_000
EVENTS_PER_SECOND: Final = 1_000
READERS: Final = 2_000
_RATE: Final = 200
_SECONDS: Final = 15.0
_WRK_CONNECTIONS: Final = 32
_SETTLE_SECONDS: Final = 3.0
_LUA: Final = """
local ids = {%s}
local turn = 0
request = function()
    turn = turn + 1
    return wrk.format("GET", "/api/v1/training/sessions/" .. ids[turn %% #ids + 1] .. "/progress-unified")
end
"""


def path_of(session_id: int) -> str:
    """The path that is measured."""
    return f"/api/v1/training/sessions/{session_id}/progress-unified"


async def run_role(module: str, role: str, parameters: dict[str, Any]) -> dict[str, float]:
    """Run a client to its end in a process of its own; what it found."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, role, stdin=PIPE, stdout=PIPE)
    output, _ = await process.communicate(json.dumps(parameters).encode())
    if process.returncode != 0:
        raise RuntimeError(f"the client {role} failed with status {process.returncode}")
    found: dict[str, float] = json.loads(output)
    return found


@asynccontextmanager
async def fed(nats_url: str, sessions: LiveSessions) -> AsyncIterator[None]:
    """Events of the sessions keep coming."""
    process: Process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.gateway_feeder", stdin=PIPE, stdout=PIPE
    )
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the feeder has no pipes")
    photos = {str(one): sessions.photos_of(one) for one in sessions.session_ids}
    process.stdin.write(json.dumps({"nats_url": nats_url, "rate": EVENTS_PER_SECOND, "photos": photos}).encode())
    process.stdin.close()
    await process.stdout.readline()
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def measure_wrk(wrk: str, http_url: str, sessions: LiveSessions, folder: Path) -> dict[str, float]:
    """As many requests as are answered."""
    script = folder / "sessions.lua"
    await asyncio.to_thread(script.write_text, _LUA % ", ".join(map(str, sessions.session_ids)))
    process = await asyncio.create_subprocess_exec(
        wrk, "-t1", f"-c{_WRK_CONNECTIONS}", f"-d{_SECONDS:.0f}s", "--latency", "-s", str(script), http_url, stdout=PIPE
    )
    output, _ = await process.communicate()
    said = output.decode()
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if rate is None or "Non-2xx" in said:
        raise RuntimeError(f"wrk says:\n{said}")
    return {"max_rps": float(rate[1])}


async def measure_requests(port: int, sessions: LiveSessions) -> dict[str, float]:
    """Requests at a steady rate, by turns to all sessions."""
    asked = {"port": port, "paths": [path_of(one) for one in sessions.session_ids], "rate": _RATE, "seconds": _SECONDS}
    found = await run_role("benchmarks.gateway_clients", "ask", asked)
    return {key: found[key] for key in ("p50_ms", "p99_ms", "requests")}


async def measure_size(port: int, sessions: LiveSessions) -> dict[str, float]:
    """Requests by turns to the small and to the large session."""
    paths = [path_of(sessions.small_id), path_of(sessions.large_id)]
    asked = {"port": port, "paths": paths, "rate": _RATE, "seconds": _SECONDS}
    found = await run_role("benchmarks.gateway_clients", "ask", asked)
    p50_1k, p50_1m = found["first_path_p50_ms"], found["last_path_p50_ms"]
    return {"p50_1k_ms": p50_1k, "p50_1m_ms": p50_1m, "p50_ratio_1m_over_1k": p50_1m / p50_1k}


async def measure_streams(port: int, sessions: LiveSessions) -> dict[str, float]:
    """Two readers of each session, and beside them the same requests as without."""
    paths = [path_of(one) for one in sessions.session_ids]
    reading = {"port": port, "paths": [f"{one}/stream" for one in paths], "readers": READERS, "seconds": _SECONDS}
    asking = {"port": port, "paths": paths, "rate": _RATE, "seconds": _SECONDS}
    read, asked = await asyncio.gather(
        run_role("benchmarks.gateway_clients", "read", reading), run_role("benchmarks.gateway_clients", "ask", asking)
    )
    return {**read, "p50_with_readers_ms": asked["p50_ms"], "p99_with_readers_ms": asked["p99_ms"]}


def show(found: dict[str, float]) -> dict[str, float]:
    """Print figures for a person as they come."""
    for key, value in found.items():
        sys.stdout.write(f"{key:28} {value:12,.3f}\n")
    sys.stdout.flush()
    return found


async def measure(wrk: str, folder: Path) -> dict[str, float]:
    """All figures."""
    figures: dict[str, float] = {}
    async with Stack(StackOptions(data_directory=folder / "data", http_port=0, console=False)) as stack:
        sessions = await make_sessions(stack.urls.database, SESSIONS)
        port = urlsplit(stack.urls.http).port or 0
        async with fed(stack.urls.nats, sessions):
            await asyncio.sleep(_SETTLE_SECONDS)
            figures |= show(await measure_requests(port, sessions))
            figures |= show(await measure_wrk(wrk, stack.urls.http, sessions, folder))
            figures |= show(await measure_size(port, sessions))
            figures |= show(await measure_streams(port, sessions))
    return figures


def main() -> None:
    """Measure, and print one JSON object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wrk", default="wrk", help="the load generator's program")
    options = parser.parse_args()
    wrk = shutil.which(options.wrk)
    if wrk is None:
        sys.exit("wrk is not installed: get it by `apt-get install wrk`, or name it with --wrk.")
    with tempfile.TemporaryDirectory() as name:
        # PostgreSQL started by root runs as another user, who must be able to pass.
        Path(name).chmod(0o711)
        figures = asyncio.run(measure(wrk, Path(name)))
    sys.stdout.write(json.dumps({key: round(value, 3) for key, value in figures.items()}) + "\n")


if __name__ == "__main__":
    main()
