"""Waits between attempts: they double with jitter, up to a bound, and honour what the service asks for."""

import asyncio

import grpc
import pytest

from triptych_common.rpc.status import RemoteError
from triptych_gateway.pipeline.retrying import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, RETRIABLE, Backoff


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were asked to be slept; nobody sleeps."""
    asked: list[float] = []

    async def note(seconds: float) -> None:
        asked.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", note)
    return asked


def refusal(retry_after_seconds: float | None) -> RemoteError:
    return RemoteError(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED, message="full", reason="FULL", retry_after_seconds=retry_after_seconds
    )


async def test_waits_double_with_jitter_up_to_the_longest(waits: list[float]) -> None:
    backoff = Backoff()

    for _ in range(12):
        await backoff.wait()

    full = [min(FIRST_WAIT_SECONDS * 2**attempt, LONGEST_WAIT_SECONDS) for attempt in range(12)]
    assert all(most / 2 <= seconds <= most for seconds, most in zip(waits, full, strict=True))


async def test_a_success_makes_the_next_wait_short_again(waits: list[float]) -> None:
    backoff = Backoff()
    for _ in range(6):
        await backoff.wait()

    backoff.reset()
    await backoff.wait()

    assert waits[-1] <= FIRST_WAIT_SECONDS


async def test_the_service_may_ask_for_a_longer_wait_but_not_for_a_shorter(waits: list[float]) -> None:
    backoff = Backoff()

    await backoff.wait(refusal(7.5))
    await backoff.wait(refusal(0.0))
    await backoff.wait(refusal(None))

    assert waits[0] == 7.5
    assert waits[1] >= FIRST_WAIT_SECONDS
    assert waits[2] >= 2 * FIRST_WAIT_SECONDS


def test_what_a_retry_cannot_mend_is_not_retried() -> None:
    never = {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.DATA_LOSS,
    }
    assert not never & RETRIABLE
    assert grpc.StatusCode.UNAVAILABLE in RETRIABLE
