"""A real HTTP server of files for downloads: with ranges or without, and misbehaving in the ways that servers do."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PIECE_BYTES = 16 * 1024


@dataclass(kw_only=True)
class FileServer:
    """What is served, how badly, and what was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    """Path → content."""
    has_ranges: bool = True
    cuts_after_bytes: int | None = None
    """Every answer breaks off after so many bytes of it."""
    pause_seconds: float = 0.0
    """Before each 16 KiB."""
    goes_on: threading.Event = field(default_factory=threading.Event)
    """Where it is not set, an answer stops after its first piece until it is."""
    statuses: list[int] = field(default_factory=list)
    """Answered to the next requests, in order."""
    port: int = 0
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range header of each request."""
    sending: threading.Event = field(default_factory=threading.Event)
    """Set once part of an answer has been sent."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def file_server() -> Iterator[FileServer]:
    """A server that runs as long as the context lasts."""
    served = FileServer()
    served.goes_on.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, served)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Requests are kept instead."""

        def log_error(self, *arguments: object) -> None:
            """Errors are what was asked for."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.goes_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(handler: BaseHTTPRequestHandler, served: FileServer) -> None:
    # A proxy is asked for whole URLs.
    path = re.sub(r"^https?://[^/]+", "", handler.path)
    asked = handler.headers.get("Range")
    served.requests.append((handler.path, asked))
    if served.statuses:
        handler.send_error(served.statuses.pop(0))
        return
    content = served.files.get(path)
    if content is None:
        handler.send_error(404)
        return
    start = 0
    if asked is not None and served.has_ranges:
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            handler.send_error(416)
            return
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    else:
        handler.send_response(200)
    rest = content[start:]
    handler.send_header("Content-Length", str(len(rest)))
    handler.end_headers()
    if served.cuts_after_bytes is not None:
        rest = rest[: served.cuts_after_bytes]
    for begin in range(0, len(rest), _PIECE_BYTES):
        time.sleep(served.pause_seconds)
        try:
            handler.wfile.write(rest[begin : begin + _PIECE_BYTES])
        except OSError:
            return
        served.sending.set()
        served.goes_on.wait()
