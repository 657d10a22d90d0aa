"""Becomes a program that finds other parts where it is told: behind_links.py '{"VARIABLE": "…"}' PROGRAM ARGUMENT…

URLs that the program's environment holds keep their user and password, and get another host and port.
"""

import json
import os
import sys
from urllib.parse import urlsplit

_URLS = ("NATS_URL", "DATABASE_URL")


def main() -> None:
    """Change the environment, and become the program."""
    settings: dict[str, str] = json.loads(sys.argv[1])
    for name, value in settings.items():
        os.environ[name] = elsewhere(os.environ[name], value) if name in _URLS else value
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - it is the test's own


def elsewhere(url: str, address: str) -> str:
    """A URL of the same login and database at another address."""
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{user}@{address}", query="").geturl()


if __name__ == "__main__":
    main()
