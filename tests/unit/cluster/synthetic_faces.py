"""The synthetic faces of the benchmarks, for tests."""

import importlib.util
from pathlib import Path
from types import ModuleType


def _load() -> ModuleType:
    """`benchmarks/faces.py`, which is not in a package."""
    path = Path(__file__).parents[3] / "benchmarks" / "faces.py"
    spec = importlib.util.spec_from_file_location("bench_faces", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_faces = _load()
generate = _faces.generate
score = _faces.score
