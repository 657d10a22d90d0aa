"""python -m tests.security: who may what, of a gateway of its own; prints one JSON object last.

Exit status 1 where an answer is not what `authorisation.md` says, or where that page and the code have other routes.
"""

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.security.asking import PATHS, Cell, ask_all, takes_a_path
from tests.security.callers import all_callers
from tests.security.library import contents, fill
from tests.security.routes import routes_of_the_code
from tests.security.table import PAGE, Table, read_table
from tests.support.issuer import AUDIENCE, running_issuer
from tests.support.real_servers import nats_server, postgres_server
from tests.support.running_gateway import running_gateway
from tools.openapi import openapi_document
from triptych_gateway.api.document import operations


def main() -> None:
    """Ask, and tell."""
    began = time.monotonic()
    table = read_table(PAGE.read_text(encoding="utf-8"))
    _same("routes of the code and of the page", routes_of_the_code(), table.needs)
    _same("routes that take a path", _routes_with_a_path(), PATHS)
    cells = _ask(table)
    wrong = [cell for cell in cells if cell.problem is not None]
    for cell in wrong:
        print(f"{cell.route}, {cell.caller}: {cell.expected} was expected; {cell.problem}", file=sys.stderr)
    summary = {
        "cells": len(cells),
        "passed": len(cells) - len(wrong),
        "expected": dict(Counter(cell.expected for cell in cells)),
        "routes": len(table.needs),
        "callers": len(table.answers),
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(summary))
    if wrong:
        sys.exit(1)


def _same(what: str, found: Iterable[str], listed: Iterable[str]) -> None:
    if differing := sorted(set(found) ^ set(listed)):
        raise SystemExit(f"{what}: only one of the two has {', '.join(differing)}")


def _routes_with_a_path() -> Iterator[str]:
    document = openapi_document()
    schemas = document["components"]["schemas"]
    for path, method, operation in operations(document):
        if takes_a_path(operation, schemas):
            yield f"{method.upper()} {path}"


def _ask(table: Table) -> list[Cell]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="triptych-security-")))
        postgres = stack.enter_context(postgres_server())
        issuer = stack.enter_context(running_issuer())
        gateway = stack.enter_context(
            running_gateway(
                database_url=postgres.url(postgres.create_database()),
                nats_url=stack.enter_context(nats_server(folder)),
                folder=folder,
                TRIPTYCH_ACCESS="tokens",
                TRIPTYCH_OIDC_ISSUER=issuer.url,
                TRIPTYCH_OIDC_AUDIENCE=AUDIENCE,
                TRIPTYCH_REQUESTS_PER_MINUTE="1000000",
                TRIPTYCH_WRONG_TOKENS_PER_MINUTE="1000000",
            )
        )
        callers = all_callers(gateway.database_url, issuer)
        _same("callers", callers, table.answers)
        client = stack.enter_context(gateway.client())
        client.headers.update(callers["admin token"].headers)
        library = fill(gateway, client)
        before = contents(client)
        cells = asyncio.run(ask_all(gateway.url, table, callers, library))
        problem = (
            None if contents(client) == before else "somebody who may not, or who named nothing, changed something"
        )
        return [*cells, Cell(route="every list", caller="everybody", expected="as before", problem=problem)]


if __name__ == "__main__":
    main()
