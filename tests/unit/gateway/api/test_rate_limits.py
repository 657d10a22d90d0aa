"""How often somebody may ask: counted over the last minute, for each by itself."""

import time

import pytest

from triptych_gateway.api.access.rate_limits import RateLimits, network_of

MINUTE = 60


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of day, which a test moves."""
    now = [1_800_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


async def test_so_many_are_let_through_and_the_next_is_told_how_long_to_wait(clock: list[float]) -> None:
    limits = RateLimits(requests_per_minute=3, attempts_per_minute=1)

    assert [await limits.wait_for_request("token 1") for _ in range(3)] == [0, 0, 0]
    wait = await limits.wait_for_request("token 1")

    assert 1 <= wait <= MINUTE
    clock[0] += 2 * MINUTE
    assert await limits.wait_for_request("token 1") == 0


async def test_nobody_pays_for_what_another_asked_nor_for_what_was_of_another_kind(clock: list[float]) -> None:
    limits = RateLimits(requests_per_minute=1, attempts_per_minute=1)
    assert await limits.wait_for_request("192.0.2.1") == 0

    assert await limits.wait_for_request("192.0.2.1") > 0
    assert await limits.wait_for_request("192.0.2.2") == 0
    assert await limits.wait_for_attempt("192.0.2.1") == 0
    assert await limits.wait_for_attempt("192.0.2.1") > 0


async def test_half_a_minute_after_a_minute_that_was_full_half_of_it_counts(clock: list[float]) -> None:
    limits = RateLimits(requests_per_minute=10, attempts_per_minute=1)
    for _ in range(10):
        assert await limits.wait_for_request("token 1") == 0

    clock[0] += 1.5 * MINUTE
    let_through = [await limits.wait_for_request("token 1") == 0 for _ in range(10)]

    assert sum(let_through) == pytest.approx(5, abs=1)
    assert let_through == sorted(let_through, reverse=True)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_an_ipv6_address_counts_as_its_network(address: str, network: str) -> None:
    assert network_of(address) == network
