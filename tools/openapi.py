"""The OpenAPI document, from the endpoints' code alone: nothing needs to run.

python -m tools.openapi writes it to standard output.
"""

import json
import sys
from typing import Any

from triptych_gateway.api.app import described_app


def openapi_document() -> dict[str, Any]:
    """The document, as the gateway serves it at /openapi.json."""
    return described_app().openapi()


def openapi_json() -> str:
    """The document as a file: the same for the same code, its keys sorted."""
    return json.dumps(openapi_document(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(openapi_json())
