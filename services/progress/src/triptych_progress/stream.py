"""Delivery of progress events from the stream: in order and without gaps, or an error that says to begin again.

A push consumer without acknowledgements, with heartbeats and flow control. The NATS client's own ordered consumer is
not used: where it misses a heartbeat before the first event it asks for the whole stream, and its recovery, which
cannot be watched, would run beside ours after a lost connection.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, NamedTuple

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, Header

from triptych_common.progress.events import ALL_SUBJECTS, STREAM

HEARTBEAT_SECONDS: Final = 1.0
"""How often the server is heard of when there is nothing to deliver."""
SILENCE_SECONDS: Final = 3.0
"""How long nothing may be heard before deliveries are taken for lost."""
_CHECK_SECONDS: Final = 0.2
_EVENTS_PER_TURN: Final = 100
_ACKNOWLEDGEMENT_TOKENS: Final = 9
"""Tokens of a delivery's reply subject: $JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>.<consumer sequence>.
<timestamp>.<pending>. Where an account has a domain, it stands with the account's hash after ACK, and a random token at
the end (NATS architecture decision 15)."""


class DeliveriesLostError(nats.errors.Error):
    """Events may be missing from now on: deliver again from the last one that was taken."""


class StreamEvent(NamedTuple):
    """One message of the stream."""

    sequence: int
    """Its place in the stream, ≥ 1."""
    time_microseconds: int
    """When the stream took it, since 1970."""
    subject: str
    content: bytes
    pending: int
    """Messages of the stream after it that are not delivered yet, as of its delivery."""
    waited: bool
    """Whether the stream may have had it long before its delivery began."""


class Delivery:
    """Calls ``take`` with one event after another, beginning after a sequence of the stream."""

    def __init__(self, client: Client, jetstream: JetStreamContext, *, take: Callable[[StreamEvent], None]) -> None:
        self._client = client
        self._jetstream = jetstream
        self._take = take
        self._consumer_sequence = 0
        self._is_behind = True
        self._heard = 0.0
        self._problem = ""

    async def run(self, *, after: int, on_nothing_pending: Callable[[], None]) -> None:
        """Deliver until cancelled; an object delivers once. ``on_nothing_pending`` is called if there is nothing yet.

        Raises DeliveriesLostError, and what the NATS client raises.
        """
        inbox = self._client.new_inbox()
        reconnects = self._client.stats["reconnects"]
        subscription = await self._client.subscribe(
            inbox, cb=self._on_message, pending_msgs_limit=0, pending_bytes_limit=0
        )
        try:
            consumer = await self._jetstream.add_consumer(STREAM, _consumer_config(inbox, after=after))
            if consumer.num_pending == 0:
                self._is_behind = False
                on_nothing_pending()
            loop = asyncio.get_running_loop()
            self._heard = loop.time()
            while not self._problem:
                await asyncio.sleep(_CHECK_SECONDS)
                if self._client.stats["reconnects"] != reconnects:
                    self._problem = "the connection was made anew"
                elif loop.time() - self._heard > SILENCE_SECONDS:
                    self._problem = "nothing is heard"
            raise DeliveriesLostError(self._problem)
        finally:
            # What is wrong with the connection is told by what is done with it next; a cancellation goes first.
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def _on_message(self, message: Msg) -> None:
        if self._problem:
            return
        if message.headers and message.headers.get(Header.STATUS) is not None:
            self._heard = asyncio.get_running_loop().time()
            await self._on_control(message, message.headers)
            return
        sequence, consumer_sequence, nanoseconds, pending = _metadata(message.reply)
        if consumer_sequence != self._consumer_sequence + 1:
            self._problem = f"delivery {consumer_sequence} came after {self._consumer_sequence}"
            return
        self._consumer_sequence = consumer_sequence
        waited = self._is_behind
        self._is_behind = waited and pending > 0
        self._take(StreamEvent(sequence, nanoseconds // 1000, message.subject, message.data, pending, waited))
        if consumer_sequence % _EVENTS_PER_TURN == 0 or pending == 0:
            self._heard = asyncio.get_running_loop().time()
            await asyncio.sleep(0)  # The client's queue does not yield while it is not empty; calls wait meanwhile.

    async def _on_control(self, message: Msg, headers: dict[str, str]) -> None:
        """Answer flow control, now that all before it is taken; compare a heartbeat with what was taken."""
        for subject in (message.reply, headers.get(Header.CONSUMER_STALLED)):
            if subject:
                await self._client.publish(subject)
        delivered = headers.get(Header.LAST_CONSUMER)
        if delivered is not None and int(delivered) > self._consumer_sequence:
            self._problem = f"{delivered} were delivered, {self._consumer_sequence} came"


def _metadata(reply: str) -> tuple[int, int, int, int]:
    """Stream sequence, consumer sequence, nanoseconds since 1970 and pending messages of a delivery.

    The client's own parser makes four objects and a calendar date of them, which costs more than folding the event.
    """
    tokens = reply.split(".")
    first = 5 if len(tokens) == _ACKNOWLEDGEMENT_TOKENS else 7
    return int(tokens[first]), int(tokens[first + 1]), int(tokens[first + 2]), int(tokens[first + 3])


def _consumer_config(inbox: str, *, after: int) -> ConsumerConfig:
    return ConsumerConfig(
        deliver_subject=inbox,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=after + 1,
        filter_subject=ALL_SUBJECTS,
        ack_policy=AckPolicy.NONE,
        max_deliver=1,
        flow_control=True,
        idle_heartbeat=HEARTBEAT_SECONDS,
        inactive_threshold=10.0,
        mem_storage=True,
        num_replicas=1,
    )
