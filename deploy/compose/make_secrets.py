"""Makes the secrets of an installation when it first starts, and leaves those that are there.

python make_secrets.py DIRECTORY

In the directory is one for each container, which mounts that alone. Runs in the image of the progress service: its code
says who may do what at NATS.
"""

import secrets
import sys
from pathlib import Path
from typing import Final

from triptych_common.progress.permissions import PERMISSIONS, authorization

NATS_CONFIGURATION: Final = """\
listen: 0.0.0.0:4222
http: 127.0.0.1:8222
max_payload: 1MB
jetstream { store_dir: /data, max_file_store: 8GB, max_memory_store: 256MB }
"""
SERVICES: Final = ("gateway", "progress", "embedder", "facedetect", "cluster")
"""They show each other one token."""
OF_THE_DATABASE: Final = ("gateway", "backup")


def main() -> None:
    """Write what each container is to know, unless all of it is there."""
    directory = Path(sys.argv[1])
    files = made(directory, password=kept(directory / "postgres" / "password") or secrets.token_hex(24))
    if all(path.exists() for path in files):
        return
    for path, content in files.items():
        aside = path.with_suffix(".new")
        aside.write_text(content)
        # Only the container that is to know it mounts the directory, and runs as some user.
        aside.chmod(0o444)
        aside.rename(path)


def made(directory: Path, *, password: str) -> dict[Path, str]:
    """Path → content, with new secrets but for the database's password, which PostgreSQL took when it first started."""
    passwords = {user: secrets.token_hex(24) for user in PERMISSIONS}
    configuration = NATS_CONFIGURATION + authorization(lambda user: f'"{passwords[user]}"')
    files = {directory / "nats" / "nats.conf": configuration, directory / "postgres" / "password": password}
    for user in PERMISSIONS:
        files[directory / user / "NATS_URL"] = f"nats://{user}:{passwords[user]}@nats:4222"
    token = secrets.token_urlsafe(32)
    for service in SERVICES:
        files[directory / service / "TRIPTYCH_SERVICE_TOKEN"] = token
    for user in OF_THE_DATABASE:
        files[directory / user / "DATABASE_URL"] = f"postgresql://triptych:{password}@postgres/triptych"
    return files


def kept(path: Path) -> str | None:
    """What an earlier start wrote."""
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    main()
