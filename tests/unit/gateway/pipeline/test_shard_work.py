"""When a worker counts as lost, and how the photo that kills workers is found."""

import grpc
import pytest

from triptych_common.rpc.status import RemoteError
from triptych_gateway.pipeline.photos.shard_work import (
    DEATHS_BEFORE_HALVING,
    DEATHS_OF_ONE_PHOTO,
    Attempt,
    Suspicion,
)


def _error(code: grpc.StatusCode, reason: str | None = None) -> RemoteError:
    return RemoteError(code=code, message="It is so.", reason=reason or code.name, retry_after_seconds=None)


@pytest.mark.parametrize(
    "error",
    [
        None,
        _error(grpc.StatusCode.UNAVAILABLE),
        _error(grpc.StatusCode.INTERNAL),
        _error(grpc.StatusCode.CANCELLED),
        _error(grpc.StatusCode.DEADLINE_EXCEEDED, "SILENCE"),
    ],
)
def test_a_worker_that_took_photos_and_brought_nothing_is_lost(error: RemoteError | None) -> None:
    assert Attempt(settled=0, accepted=True, error=error).lost_its_worker


@pytest.mark.parametrize(
    "attempt",
    [
        Attempt(settled=0, accepted=False, error=_error(grpc.StatusCode.UNAVAILABLE)),
        Attempt(settled=1, accepted=True, error=_error(grpc.StatusCode.UNAVAILABLE)),
        Attempt(settled=0, accepted=True, error=_error(grpc.StatusCode.UNAVAILABLE, "MODEL_LOADING")),
        Attempt(settled=0, accepted=True, error=_error(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")),
        Attempt(settled=0, accepted=True, error=_error(grpc.StatusCode.RESOURCE_EXHAUSTED)),
    ],
    ids=["never reached", "brought something", "is loading", "is full", "is full without a word"],
)
def test_a_worker_that_is_away_or_says_why_is_not_lost(attempt: Attempt) -> None:
    assert not attempt.lost_its_worker


@pytest.mark.parametrize("culprit", [0, 6, 63])
def test_the_photo_that_kills_its_workers_is_found(culprit: int) -> None:
    left, suspicion, deaths, given_up = list(range(64)), Suspicion(shard_size=64), 0, []
    while left:
        photos = left[: suspicion.at_once]
        if culprit not in photos:
            left = left[len(photos) :]
            suspicion.ease()
            continue
        deaths += 1
        if suspicion.grow(photos=len(photos)):
            given_up.append(photos[0])
            left = left[1:]

    assert given_up == [culprit]
    # Six halvings of 64 photos, again after each time that photos before the culprit were settled.
    assert deaths <= 7 * 6 * DEATHS_BEFORE_HALVING + DEATHS_OF_ONE_PHOTO
