"""Under which version a kept state holds: that of the code, of the libraries and of all parameters that made it."""

import hashlib
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files

from triptych_cluster.parameters import Parameters

_AROUND_THE_CORE = frozenset(
    f"{name}.py" for name in ("main", "service", "receiving", "running", "choosing", "question", "memory", "workspace")
)
"""What decides nothing of a group; any other change of this package makes another version."""
_LIBRARIES = ("hdbscan", "scipy", "numpy")


def kept_version(parameters: Parameters, *, model_id: str, dimension: int) -> str:
    """The version, 64 hexadecimal digits, of what is kept of faces of that model."""
    told = "\n".join([_core(), model_id, str(dimension), repr(parameters)])
    return hashlib.sha256(told.encode()).hexdigest()


@lru_cache(maxsize=1)
def _core() -> str:
    digest = hashlib.sha256()
    for source in sorted(files("triptych_cluster").iterdir(), key=lambda one: one.name):
        if source.name.endswith(".py") and source.name not in _AROUND_THE_CORE:
            digest.update(f"{source.name}\n".encode() + source.read_bytes())
    for library in _LIBRARIES:
        digest.update(f"{library} {version(library)}\n".encode())
    return digest.hexdigest()
