"""Makes the secrets of an installation when it first starts, and leaves those that are there.

python make_secrets.py DIRECTORY

In the directory is one for each container, which mounts that alone. Runs in the image of the progress service: its code
says who may do what at NATS.
"""

import secrets
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from triptych_common.progress.permissions import PERMISSIONS, authorization

NATS_CONFIGURATION: Final = """\
listen: 0.0.0.0:4222
http: 127.0.0.1:8222
max_payload: 1MB
jetstream { store_dir: /data, max_file_store: 8GB, max_memory_store: 256MB }
"""
SERVICES: Final = ("gateway", "progress", "embedder", "facedetect", "cluster")
"""They show each other one token."""
OWNER: Final = "triptych"
"""Owns the catalogue. Known to what changes its tables, or replaces them, and then ends."""
ROLE: Final = "triptych_gateway"
"""As which gateways work: it changes rows alone."""


def main() -> None:
    """Write what each container is to know, and does not yet."""
    for path, content in wanted(Path(sys.argv[1])).items():
        if kept(path) != content:
            aside = path.with_suffix(".new")
            aside.write_text(content)
            # Only the container that is to know it mounts the directory, and runs as some user.
            aside.chmod(0o444)
            aside.rename(path)


def wanted(directory: Path) -> dict[Path, str]:
    """Path → content, with what an earlier start wrote, and new secrets where there were none."""
    return {**_of_the_broker(directory), **_of_the_services(directory), **_of_the_database(directory)}


def _of_the_broker(directory: Path) -> dict[Path, str]:
    files = {directory / user / "NATS_URL": user for user in PERMISSIONS}
    passwords = {user: _password_in(path, user) or secrets.token_hex(24) for path, user in files.items()}
    configuration = NATS_CONFIGURATION + authorization(lambda user: f'"{passwords[user]}"')
    return {
        directory / "nats" / "nats.conf": configuration,
        **{path: f"nats://{user}:{passwords[user]}@nats:4222" for path, user in files.items()},
    }


def _of_the_services(directory: Path) -> dict[Path, str]:
    paths = [directory / service / "TRIPTYCH_SERVICE_TOKEN" for service in SERVICES]
    token = kept(paths[0]) or secrets.token_urlsafe(32)
    return dict.fromkeys(paths, token)


def _of_the_database(directory: Path) -> dict[Path, str]:
    # PostgreSQL takes both when they are first shown to it: the one with its data, the other from `triptych-migrate`.
    password = kept(directory / "postgres" / "password") or secrets.token_hex(24)
    migrates_for = directory / "migrate" / "DATABASE_URL"
    role_password = _password_in(migrates_for, ROLE) or secrets.token_hex(24)
    as_owner, as_role = _database_url(OWNER, password), _database_url(ROLE, role_password)
    return {
        directory / "postgres" / "password": password,
        directory / "migrate" / "TRIPTYCH_DATABASE_OWNER_URL": as_owner,
        migrates_for: as_role,
        directory / "gateway" / "DATABASE_URL": as_role,
        directory / "backup" / "DATABASE_URL": as_owner,
    }


def _database_url(role: str, password: str) -> str:
    return f"postgresql://{role}:{password}@postgres/triptych"


def _password_in(path: Path, user: str) -> str | None:
    """The password in a URL that an earlier start wrote, if it is this user's."""
    url = urlsplit(kept(path) or "")
    return url.password if url.username == user else None


def kept(path: Path) -> str | None:
    """What an earlier start wrote."""
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    main()
