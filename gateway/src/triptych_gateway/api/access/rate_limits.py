"""How often somebody may ask: per token, or per address where there is none."""

import ipaddress
import math
import time
from typing import Final

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

_IPV6_NETWORK_BITS: Final = 64
"""What one customer is given at least: whoever has it has all its addresses (RFC 6177)."""


class RateLimits:
    """Counts in this process's memory, over the last minute at any moment; each gateway counts for itself."""

    def __init__(self, *, requests_per_minute: int, attempts_per_minute: int) -> None:
        self._requests = RateLimitItemPerMinute(requests_per_minute, namespace="requests")
        self._attempts = RateLimitItemPerMinute(attempts_per_minute, namespace="attempts")
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def wait_for_request(self, who: str) -> int:
        """Count a request; how many seconds (≥ 1) its sender is to wait, 0 where it is let through."""
        return await self._wait(self._requests, who)

    async def wait_for_attempt(self, who: str) -> int:
        """Count a login, or a request with a token that does not hold; likewise."""
        return await self._wait(self._attempts, who)

    async def _wait(self, limit: RateLimitItem, who: str) -> int:
        if await self._limiter.hit(limit, who):
            return 0
        window = await self._limiter.get_window_stats(limit, who)
        return max(1, math.ceil(window.reset_time - time.time()))


def network_of(address: str) -> str:
    """Whose address it is, as far as can be told: itself for IPv4, its network of 64 bits for IPv6.

    What is no address, such as the name of a socket, stands for itself.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((parsed, _IPV6_NETWORK_BITS), strict=False))
    return str(parsed)
