"""One composition for all tests of this directory; each trains on photos of its own, and leaves all of it running."""

from collections.abc import Iterator

import httpx
import pytest

from tests.compose.composition import Composition, running_composition


@pytest.fixture(scope="session")
def compose() -> Iterator[Composition]:
    """Built, and started for the first time."""
    with running_composition() as running:
        yield running


@pytest.fixture(scope="session")
def first_token(compose: Composition) -> str:
    """The token that was printed at the first start."""
    (token,) = printed_tokens(compose)
    return token


def printed_tokens(compose: Composition) -> list[str]:
    """Tokens in the log of `first-token`."""
    return [line for line in compose.log("first-token").splitlines() if line.startswith("triptych_")]


@pytest.fixture
def interface(compose: Composition, first_token: str) -> Iterator[httpx.Client]:
    """The REST interface, asked with the first token."""
    headers = {"Authorization": f"Bearer {first_token}"}
    base = f"{compose.url}/api/v1"
    with httpx.Client(base_url=base, headers=headers, timeout=60, trust_env=False) as client:
        yield client
