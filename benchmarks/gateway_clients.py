"""Clients of the gateway in processes of their own: one that asks at a steady rate, and one of very many readers.

python -m benchmarks.gateway_clients ask|read, with a JSON object of parameters on standard input; the answer is one
JSON object on standard output.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np

_CONNECTIONS: Final = 17
"""An odd number: each connection asks for every path in turn, where there are two."""
_UPDATED_AT: Final = re.compile(rb'"updatedAt":"([^"]+)"')
_TIMEOUT_SECONDS: Final = 30.0


def percentiles(seconds: Sequence[float], prefix: str) -> dict[str, float]:
    """Median and 99th percentile in milliseconds."""
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    return {f"{prefix}p50_ms": float(p50), f"{prefix}p99_ms": float(p99)}


@dataclass(frozen=True, kw_only=True)
class _Asking:
    """What is asked."""

    port: int
    paths: list[str]
    rate: float
    """Requests per second."""
    seconds: float


async def ask(**parameters: Any) -> dict[str, float]:
    """GET the paths by turns at a steady rate, whether or not the answers keep up.

    A request's time is counted from when it was due, so that a gateway that stops for a moment is seen to.
    """
    asking = _Asking(**parameters)
    took: dict[str, list[float]] = {path: [] for path in asking.paths}
    loop = asyncio.get_running_loop()
    began = loop.time() + 0.1
    await asyncio.gather(*(_ask_some(asking, began, lane, took) for lane in range(_CONNECTIONS)))
    together = [one for some in took.values() for one in some]
    return {
        **percentiles(together, ""),
        "requests": len(together),
        "first_path_p50_ms": percentiles(took[asking.paths[0]], "")["p50_ms"],
        "last_path_p50_ms": percentiles(took[asking.paths[-1]], "")["p50_ms"],
    }


async def _ask_some(asking: _Asking, began: float, lane: int, took: dict[str, list[float]]) -> None:
    """Every _CONNECTIONS-th request, over one connection."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", asking.port)
    for number in range(lane, int(asking.rate * asking.seconds), _CONNECTIONS):
        due = began + number / asking.rate
        await asyncio.sleep(max(0.0, due - loop.time()))
        path = asking.paths[number % len(asking.paths)]
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _TIMEOUT_SECONDS)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{path} was answered {head[:80]!r}")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        await reader.readexactly(int(length[1]) if length is not None else 0)
        took[path].append(loop.time() - due)
    writer.close()


class _Reader(asyncio.Protocol):
    """One open stream. Its first event is what there was already; each further one is compared with the clock."""

    def __init__(self, path: str, lags: list[float], told: set["_Reader"]) -> None:
        self._path = path
        self._lags = lags
        self._told = told
        self._unread = b""
        self.is_open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        request = f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
        transport.write(request.encode())  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Note how old the newest event's news are."""
        now = time.time()
        *events, self._unread = (self._unread + data).split(b"\n\n")
        for event in events:
            found = _UPDATED_AT.search(event)
            if found is None:
                continue
            if self in self._told:
                self._lags.append(now - datetime.fromisoformat(found[1].decode()).timestamp())
            self._told.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The stream must not end."""
        del exc
        self.is_open = False


async def read(*, port: int, paths: list[str], readers: int, seconds: float) -> dict[str, float]:
    """Keep so many streams open, and see how long after an event's reaching NATS each is told of it."""
    loop = asyncio.get_running_loop()
    lags: list[float] = []
    told: set[_Reader] = set()
    streams: list[tuple[asyncio.Transport, _Reader]] = []
    for number in range(readers):
        path = paths[number % len(paths)]
        streams.append(await loop.create_connection(lambda path=path: _Reader(path, lags, told), "127.0.0.1", port))
    async with asyncio.timeout(_TIMEOUT_SECONDS):
        while len(told) < readers:  # noqa: ASYNC110 - a moment before the measurement
            await asyncio.sleep(0.1)
    lags.clear()
    await asyncio.sleep(seconds)
    still_open = sum(reader.is_open for _, reader in streams)
    for transport, _ in streams:
        transport.close()
    return {**percentiles(lags, "sse_lag_"), "sse_readers": still_open, "sse_events_per_second": len(lags) / seconds}


def main() -> None:
    """Run the role that the command line names."""
    parameters: dict[str, Any] = json.load(sys.stdin)
    role = {"ask": ask, "read": read}[sys.argv[1]]
    sys.stdout.write(json.dumps(asyncio.run(role(**parameters))) + "\n")


if __name__ == "__main__":
    main()
