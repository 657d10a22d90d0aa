"""The NATS client, made faster where every progress event passes."""

from typing import Final

from nats.aio.client import Client

_IDENTITY: Final = b"NATS/1.0\r\nNats-Msg-Id:"
_END: Final = b"\r\n\r\n"


class LeanClient(Client):
    """A client that does not parse the headers of messages that have nothing in them but their identity.

    The stream drops duplicates by it, and after that nobody reads it; parsing it takes a seventh of the time in which
    an event is folded. The method is the client's own business: where another version has none of that name, this one
    is never called and nothing but time is lost.
    """

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        if (
            headers
            and headers.startswith(_IDENTITY)
            and headers.find(b"\r\n", len(_IDENTITY)) == len(headers) - len(_END)
        ):
            return None
        parsed: dict[str, str] | None = await super()._process_headers(headers)
        return parsed
