"""`triptych up` with models that are none, and with links between its parts: python -m tests.chaos.stack_process."""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Final

from tests.support.named_replicas import SYNTHETIC_SERVICE
from triptych_gateway.cli.stack.services import GATEWAY, console_scripts
from triptych_gateway.cli.stack.stack import Stack, StackOptions
from triptych_gateway.cli.up import serve

_BEHIND_LINKS: Final = Path(__file__).with_name("behind_links.py")
_VARIABLES: Final = {"nats": "NATS_URL", "postgres": "DATABASE_URL"}


def main() -> None:
    """Run the stack until it is told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--media-root", type=Path, action="append", required=True)
    parser.add_argument("--links", type=json.loads, required=True, help="addresses of servers by part, as JSON")
    parser.add_argument("--gateway-data", type=Path, required=True, help="where the gateway keeps its pictures")
    parser.add_argument("--seconds-per-photo", type=float, required=True)
    chosen = parser.parse_args()
    programs = console_scripts()
    for name, mode in (("embedder", ()), ("facedetect", ("people",))):
        programs[name] = (sys.executable, str(SYNTHETIC_SERVICE), name, str(chosen.seconds_per_photo), *mode)
    for name, addresses in chosen.links.items():
        settings = {
            _VARIABLES.get(server, f"TRIPTYCH_{server.upper()}_ADDRESSES"): at for server, at in addresses.items()
        }
        if name == GATEWAY:
            settings["TRIPTYCH_DATA_DIR"] = str(chosen.gateway_data)
        programs[name] = (sys.executable, str(_BEHIND_LINKS), json.dumps(settings), *programs[name])
    options = StackOptions(data_directory=chosen.data_dir, http_port=chosen.port, media_roots=tuple(chosen.media_root))
    sys.exit(asyncio.run(serve(Stack(options, programs=programs))))


if __name__ == "__main__":
    main()
