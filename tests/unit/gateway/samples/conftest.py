"""One small library that tests only read."""

from pathlib import Path

import pytest

from triptych_gateway.cli.samples.library import SampleLibrary, write_library


@pytest.fixture(scope="session")
def small_library(tmp_path_factory: pytest.TempPathFactory) -> SampleLibrary:
    # 20 photos: every person, every company of persons and every file format occurs.
    directory: Path = tmp_path_factory.mktemp("samples") / "library"
    return write_library(directory, count=20, seed=0)
