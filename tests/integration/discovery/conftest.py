"""A library of real files over a fresh database."""

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.photo_library import PhotoLibrary


@pytest.fixture
def library(engine: AsyncEngine, tmp_path: Path) -> PhotoLibrary:
    root = tmp_path.resolve() / "library"
    root.mkdir()
    return PhotoLibrary(engine=engine, root=root)
