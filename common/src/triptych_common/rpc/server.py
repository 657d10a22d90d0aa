"""A gRPC server with health, reflection, typed errors and an orderly end."""

import asyncio
import ipaddress
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeAlias

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from triptych_common.correlation import caller_ids, correlated
from triptych_common.errors import ConfigurationError, ServiceError
from triptych_common.logging import get_logger
from triptych_common.rpc.access import TokenInterceptor
from triptych_common.rpc.status import to_status
from triptych_common.tracing import served

log = get_logger(__name__)

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

MAX_MESSAGE_BYTES = 64 * 2**20
"""Largest message that a server or channel of ours sends or takes, in bytes."""

CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
]

LIVE = "live"
"""Name under which the health check says that the process answers, whatever it waits for: a model, or NATS."""

_SERVER_OPTIONS: list[tuple[str, Any]] = [
    *CHANNEL_OPTIONS,
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
]


@asynccontextmanager
async def _refusals(context: Any, method: str) -> AsyncIterator[None]:
    """Ends a call with the status of the error that its method raises."""
    try:
        yield
        log.debug("call answered", method=method)
    except ServiceError as error:
        log.debug("call refused", method=method, reason=error.reason, error=error.message)
        await context.abort_with_status(to_status(error))
    except (grpc.aio.AbortError, asyncio.CancelledError):
        raise
    except Exception:
        # A flaw of the service: the caller learns that it failed and nothing of its inside, the log learns all.
        log.exception("call failed", method=method)
        await context.abort(grpc.StatusCode.INTERNAL, "The service failed; its log has the details.")


class _ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns a ServiceError into its status, and anything unforeseen into INTERNAL with a log line."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["_Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "_Handler | None":
        handler: Any = await continuation(handler_call_details)
        method = handler_call_details.method
        # Reflection and health bring handlers of other shapes (health's Watch is a coroutine that writes); they stay.
        if handler is None or not _is_ours(method):
            return handler  # type: ignore[no-any-return]

        async def answer_one(request: Any, context: Any) -> Any:
            call = handler.unary_unary or handler.stream_unary
            metadata = context.invocation_metadata()
            with correlated(**caller_ids(metadata)), served(method, metadata):
                async with _refusals(context, method):
                    return await call(request, context)

        async def answer_many(request: Any, context: Any) -> None:
            call = handler.unary_stream or handler.stream_stream
            # Tells the caller at once that a worker has the call, long before the first result.
            await context.send_initial_metadata(())
            # Written from here, not yielded on: a cancelled call then closes the servicer's generator at once,
            # instead of leaving its clean-up to the garbage collector.
            metadata = context.invocation_metadata()
            with correlated(**caller_ids(metadata)), served(method, metadata):
                async with _refusals(context, method), aclosing(call(request, context)) as messages:
                    async for message in messages:
                        await context.write(message)

        codecs = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(answer_one, **codecs)
        if handler.stream_unary:
            return grpc.stream_unary_rpc_method_handler(answer_one, **codecs)
        if handler.stream_stream:
            return grpc.stream_stream_rpc_method_handler(answer_many, **codecs)
        return grpc.unary_stream_rpc_method_handler(answer_many, **codecs)


def _is_ours(method: str | None) -> bool:
    return bool(method) and str(method).lstrip("/").startswith("triptych.")


def _is_loopback(listen: str) -> bool:
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class GrpcServer:
    """Serves servicers on one address until SIGTERM or SIGINT, then drains."""

    def __init__(
        self, *, listen: str, drain_seconds: float, token: str | None = None, max_concurrent_calls: int | None = None
    ) -> None:
        """With a token, only who sends it is served."""
        self._listen = listen
        self._drain_seconds = drain_seconds
        self._is_open = token is None and not _is_loopback(listen)
        self.server = grpc.aio.server(
            interceptors=[*([TokenInterceptor(token)] if token is not None else []), _ErrorInterceptor()],
            options=_SERVER_OPTIONS,
            maximum_concurrent_rpcs=max_concurrent_calls,
        )
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)
        self._names: list[str] = []
        self.stopping = asyncio.Event()
        """Set when the server has begun to drain."""

    async def start(self, service_names: Sequence[str], *, serving: bool = True) -> int:
        """Begin to serve; the servicers are added to ``server`` already. Returns the port.

        With ``serving=False`` the health check says NOT_SERVING until ``set_serving`` is called.

        Raises ConfigurationError where the address cannot be had.
        """
        self._names = list(service_names)
        reflection.enable_server_reflection([*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME], self.server)
        try:
            port = self.server.add_insecure_port(self._listen)
        except RuntimeError as error:
            raise ConfigurationError(
                f"The address {self._listen} cannot be listened on: another process may hold it. Set TRIPTYCH_LISTEN."
            ) from error
        await self._health.set(LIVE, health_pb2.HealthCheckResponse.SERVING)
        await self.server.start()
        await self.set_serving(serving=serving)
        log.info("listening", address=self._listen, port=port, services=self._names)
        if self._is_open:
            log.warning("whoever reaches this address may call it: set TRIPTYCH_SERVICE_TOKEN", address=self._listen)
        return port

    async def set_serving(self, *, serving: bool) -> None:
        """Say by the health check whether this process takes work."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *self._names):
            await self._health.set(name, status)

    async def serve_until_signalled(self) -> None:
        """Wait for SIGTERM or SIGINT, then refuse new calls, let those in flight end, and stop."""
        loop = asyncio.get_running_loop()
        signalled = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signalled.set)
        await signalled.wait()
        await self.stop()

    async def stop(self) -> None:
        """Refuse new calls, let those in flight end within the drain time, and stop."""
        log.info("draining", seconds=self._drain_seconds)
        self.stopping.set()
        await self._health.enter_graceful_shutdown()
        await self.server.stop(self._drain_seconds)
        log.info("stopped")
