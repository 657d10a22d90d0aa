"""Makes the passwords of an installation when it first starts, and leaves those that are there.

python make_secrets.py BROKER_DIRECTORY DATABASE_DIRECTORY
"""

import secrets
import sys
from pathlib import Path
from typing import Final

NATS_CONFIGURATION: Final = """\
listen: 0.0.0.0:4222
http: 127.0.0.1:8222
max_payload: 1MB
jetstream {{ store_dir: /data, max_file_store: 8GB, max_memory_store: 256MB }}
authorization {{ user: triptych, password: "{password}" }}
"""


def write(files: dict[Path, str]) -> None:
    """Write files that belong together, unless the last of them is there; it is written last."""
    if list(files)[-1].exists():
        return
    for path, content in files.items():
        aside = path.with_suffix(".new")
        aside.write_text(content)
        # Only containers that are to know it mount the directory; they run as different users.
        aside.chmod(0o444)
        aside.rename(path)


def main() -> None:
    """Write what NATS and its clients, and what PostgreSQL and the gateway, are to know."""
    broker, database = (Path(argument) for argument in sys.argv[1:])
    nats, postgres = secrets.token_hex(24), secrets.token_hex(24)
    write(
        {
            broker / "NATS_URL": f"nats://triptych:{nats}@nats:4222",
            broker / "nats.conf": NATS_CONFIGURATION.format(password=nats),
        }
    )
    write(
        {
            # The gateway speaks to both.
            database / "NATS_URL": (broker / "NATS_URL").read_text(),
            database / "DATABASE_URL": f"postgresql://triptych:{postgres}@postgres/triptych",
            database / "password": postgres,
        }
    )


if __name__ == "__main__":
    main()
