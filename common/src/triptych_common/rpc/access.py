"""Who may call a service: whoever has the token that all of an installation's processes share.

It travels as ``authorization: Bearer …`` in a call's metadata. Health checks need none: who asks for them learns only
whether the process takes work.
"""

import hmac
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

import grpc

_KEY: Final = "authorization"
_FREE: Final = "/grpc.health.v1.Health/"
_REFUSAL: Final = "The token is missing or another one than TRIPTYCH_SERVICE_TOKEN of this service."


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Ends calls without the token with UNAUTHENTICATED, before anything of them is read."""

    def __init__(self, token: str) -> None:
        self._expected = _value(token).encode()
        self._refusing: Any = grpc.stream_stream_rpc_method_handler(_refuse)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The handler that the call is for, or one that refuses."""
        given = next((value for key, value in handler_call_details.invocation_metadata or () if key == _KEY), "")
        if handler_call_details.method.startswith(_FREE) or self._is_token(given):
            return await continuation(handler_call_details)
        return self._refusing

    def _is_token(self, given: str | bytes) -> bool:
        """In a time that tells nothing about how much of it is right."""
        return hmac.compare_digest(given if isinstance(given, bytes) else given.encode(), self._expected)


class TokenChannel(grpc.aio.Channel):
    """A channel that sends the token with every call.

    Not client interceptors: those take every message of a stream through a queue of their own.
    """

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._channel = channel
        self._entry = (_KEY, _value(token))

    async def __aenter__(self) -> Self:
        await self._channel.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.__aexit__(kind, error, trace)

    async def close(self, grace: float | None = None) -> None:
        """As the channel does."""
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """As the channel does."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """As the channel does."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """As the channel does."""
        await self._channel.channel_ready()

    def unary_unary(self, *arguments: Any, **keywords: Any) -> Any:
        """A callable that sends the token."""
        return self._with_token(self._channel.unary_unary(*arguments, **keywords))

    def unary_stream(self, *arguments: Any, **keywords: Any) -> Any:
        """A callable that sends the token."""
        return self._with_token(self._channel.unary_stream(*arguments, **keywords))

    def stream_unary(self, *arguments: Any, **keywords: Any) -> Any:
        """A callable that sends the token."""
        return self._with_token(self._channel.stream_unary(*arguments, **keywords))

    def stream_stream(self, *arguments: Any, **keywords: Any) -> Any:
        """A callable that sends the token."""
        return self._with_token(self._channel.stream_stream(*arguments, **keywords))

    def _with_token(self, procedure: Any) -> Any:
        def call(*arguments: Any, metadata: Sequence[tuple[str, str]] | None = None, **keywords: Any) -> Any:
            return procedure(*arguments, metadata=(*(metadata or ()), self._entry), **keywords)

        return call


def _value(token: str) -> str:
    return f"Bearer {token}"


async def _refuse(_request: Any, context: Any) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, _REFUSAL)
