"""One file over HTTP: gone on with where it broke off, and taken only if it is what is pinned."""

import re
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import httpx

from triptych_common.model_store.errors import TransferError
from triptych_common.model_store.listening import Listener, Step
from triptych_common.model_store.part import Part

_TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_LONGEST_PAUSE_SECONDS: Final = 15.0
_USER_AGENT: Final = "triptych"


@dataclass(frozen=True, kw_only=True)
class TransferOptions:
    """How patient a transfer is."""

    connect_seconds: float = 15.0
    silence_seconds: float = 60.0
    """How long a server may say nothing."""
    first_attempts: int = 3
    """Attempts while nothing at all has come: most likely there is no network, and waiting is no use."""
    attempts: int = 8
    """Attempts in a row that bring nothing new, once something has come."""
    pause_seconds: float = 1.0
    """Before the second attempt; doubled before each further one, up to 15 s."""


class _BrokenOffError(Exception):
    """The transfer stopped, and may succeed when it is tried again."""


def open_client(options: TransferOptions) -> httpx.Client:
    """A client that honours HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR.

    Raises TransferError where one of them cannot be used.
    """
    timeout = httpx.Timeout(options.silence_seconds, connect=options.connect_seconds)
    try:
        return httpx.Client(timeout=timeout, follow_redirects=True, headers={"User-Agent": _USER_AGENT})
    except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
        raise TransferError(
            f"The environment's proxy or certificates (HTTPS_PROXY, SSL_CERT_FILE …) cannot be used: {error}."
        ) from error


def transfer(client: httpx.Client, url: str, part: Part, *, options: TransferOptions, listener: Listener) -> None:
    """Complete ``part`` from ``url``. Raises TransferError; what has come so far is then kept, unless it is wrong."""
    had_bytes = part.size_bytes
    _receive_all(client, url, part, options=options, listener=listener)
    if had_bytes and not part.is_right:
        listener.say(f"What an earlier attempt left of {part.file.name} does not fit: fetching all of it again.")
        part.clear()
        _receive_all(client, url, part, options=options, listener=listener)
    if not part.is_right:
        part.clear()
        raise TransferError(
            f"What {url} gives for {part.file.name} is not what it should be (its SHA-256 differs), and was not kept:"
            " a proxy or mirror may have changed it."
        )


def _receive_all(client: httpx.Client, url: str, part: Part, *, options: TransferOptions, listener: Listener) -> None:
    farthest_bytes = start_bytes = part.size_bytes
    failures = 0
    while not part.is_complete:
        reason = _attempt(client, url, part, listener)
        if part.size_bytes > farthest_bytes:
            farthest_bytes, failures = part.size_bytes, 0
        if reason is None:
            continue
        failures += 1
        if failures >= (options.attempts if farthest_bytes > start_bytes else options.first_attempts):
            advice = "without a connection, --from DIR takes what somebody else has fetched"
            if part.size_bytes:
                advice = "what has come so far is kept, so run the command again to go on"
            raise TransferError(f"{part.file.name} could not be fetched from {url}: {reason}; {advice}.")
        wait_seconds = min(options.pause_seconds * 2 ** (failures - 1), _LONGEST_PAUSE_SECONDS)
        listener.say(f"{part.file.name}: {reason}; trying again in {wait_seconds:g} s.")
        time.sleep(wait_seconds)


def _attempt(client: httpx.Client, url: str, part: Part, listener: Listener) -> str | None:
    """One request; why it did not complete ``part``, in a few words, where another may. Raises TransferError."""
    try:
        _receive(client, url, part, listener)
    except httpx.UnsupportedProtocol as error:
        raise TransferError(f"{url} cannot be fetched: {error}.") from error
    except (httpx.TransportError, _BrokenOffError) as error:
        return str(error) or type(error).__name__
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise TransferError(f"{url} cannot be fetched: {error}.") from error
    return None if part.is_complete else "the connection ended early"


def _receive(client: httpx.Client, url: str, part: Part, listener: Listener) -> None:
    """One request for the rest, and what comes of it."""
    headers = {"Accept-Encoding": "identity"}
    if part.size_bytes:
        headers["Range"] = f"bytes={part.size_bytes}-"
    with client.stream("GET", url, headers=headers) as response:
        _require_the_rest(response, part)
        for chunk in response.iter_raw():
            if part.size_bytes + len(chunk) > part.file.size_bytes:
                raise TransferError(f"{url} gives more than the {part.file.size_bytes:,} bytes of {part.file.name}.")
            part.append(chunk)
            listener.on_progress(Step.FETCHING, part.file.name, part.size_bytes, part.file.size_bytes)


def _require_the_rest(response: httpx.Response, part: Part) -> None:
    """Bring ``part`` to where the answer begins. Raises where the answer is something else."""
    offered: int | None = None
    match response.status_code:
        case HTTPStatus.OK:
            # The whole, asked for or not: a server without ranges.
            part.clear()
            length = response.headers.get("Content-Length", "")
            offered = int(length) if length.isascii() and length.isdecimal() else None
        case HTTPStatus.PARTIAL_CONTENT:
            content_range = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if content_range is None or int(content_range[1]) != part.size_bytes:
                part.clear()
                raise _BrokenOffError("the server gave another part than was asked for")
            offered = int(content_range[2]) if content_range[2] != "*" else None
        case HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.clear()
            raise _BrokenOffError("the server has less of it than has come already")
        case status if status in _TRANSIENT:
            raise _BrokenOffError(f"the server answered HTTP {status}")
        case status:
            raise TransferError(f"{response.url} was answered with HTTP {status} {response.reason_phrase}.")
    if offered is not None and offered != part.file.size_bytes:
        part.clear()
        raise TransferError(
            f"{response.url} offers {offered:,} bytes, not the {part.file.size_bytes:,} of {part.file.name}:"
            " a proxy or mirror may have changed it."
        )
