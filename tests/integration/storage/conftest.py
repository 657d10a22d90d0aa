"""A store of objects that the tests of a file share; each makes buckets of its own."""

from collections.abc import Iterator

import pytest

from tests.support.object_storage import Storage, running_storage


@pytest.fixture(scope="module")
def storage() -> Iterator[Storage]:
    """Running, and left running."""
    with running_storage() as running:
        yield running
