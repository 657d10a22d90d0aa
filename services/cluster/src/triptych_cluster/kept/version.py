"""Under which version a kept state holds: that of the code, of the libraries and of all parameters that made it."""

import hashlib
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import triptych_cluster
from triptych_cluster.parameters import Parameters

_CORE = ("clustering.py", "parameters.py", "neighbours", "groups", "kept")
"""What decides anything of a group; any change of it makes another version."""
_LIBRARIES = ("hdbscan", "scipy", "numpy")


def kept_version(parameters: Parameters, *, model_id: str, dimension: int) -> str:
    """The version, 64 hexadecimal digits, of what is kept of faces of that model."""
    told = "\n".join([_core(), model_id, str(dimension), repr(parameters)])
    return hashlib.sha256(told.encode()).hexdigest()


@lru_cache(maxsize=1)
def _core() -> str:
    digest = hashlib.sha256()
    package = Path(triptych_cluster.__path__[0])
    for source in sorted(
        file for name in _CORE for file in [package / name, *(package / name).glob("*.py")] if file.is_file()
    ):
        digest.update(f"{source.relative_to(package)}\n".encode() + source.read_bytes())
    for library in _LIBRARIES:
        digest.update(f"{library} {version(library)}\n".encode())
    return digest.hexdigest()
