"""Metrics as Prometheus reads them: over HTTP, from a process or from this one."""

from collections.abc import Callable

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.real_servers import eventually
from triptych_gateway.cli.plain_http import NO_AUTHORITIES

_ANSWER_SECONDS = 30


class Scrape:
    """What one reading of ``/metrics`` says."""

    def __init__(self, text: str) -> None:
        families = list(text_string_to_metric_families(text))
        self.types = {family.name: family.type for family in families}
        """Type of each metric, by the name without a counter's ``_total``."""
        self._values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def get(self, name: str, **labels: str) -> float | None:
        """The value of a sample, or None where there is none with exactly these labels."""
        return self._values.get((name, frozenset(labels.items())))

    def by_label(self, name: str, label: str) -> dict[str, float]:
        """The values of a metric with one label, by that label."""
        return {
            dict(labels)[label]: value
            for (sample, labels), value in self._values.items()
            if sample == name and label in dict(labels)
        }


async def scrape(address: str) -> Scrape:
    """Read the metrics at ``address``, host:port. Raises httpx.HTTPError."""
    async with httpx.AsyncClient(verify=NO_AUTHORITIES, trust_env=False, timeout=_ANSWER_SECONDS) as client:
        answer = (await client.get(f"http://{address}/metrics")).raise_for_status()
    assert answer.headers["content-type"].startswith("text/plain")
    return Scrape(answer.text)


async def scrape_until(address: str, holds: Callable[[Scrape], bool], what: str) -> Scrape:
    """Read the metrics until they are there and as they should be; returns them."""
    newest: Scrape | None = None

    async def is_so() -> bool:
        nonlocal newest
        try:
            newest = await scrape(address)
        except httpx.TransportError:
            return False
        return holds(newest)

    await eventually(is_so, what)
    assert newest is not None
    return newest
