"""What the commands that work on the catalogue's database themselves have in common: how they end, and its address."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn

from pydantic import ValidationError

from triptych_common.errors import EXIT_BAD_CONFIGURATION, ConfigurationError
from triptych_gateway.catalog.database import DATABASE_AWAY
from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.settings import DatabaseSettings


def run_to_exit(work: Coroutine[Any, Any, None]) -> NoReturn:
    """Do it and end the process: status 0, 78 with one sentence where it cannot be done, 130 after Ctrl-C."""
    try:
        asyncio.run(work)
    except (ConfigurationError, NotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EXIT_BAD_CONFIGURATION)
    except DATABASE_AWAY as error:
        sys.stderr.write(f"PostgreSQL does not answer at DATABASE_URL: {error}\n")
        sys.exit(EXIT_BAD_CONFIGURATION)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


def database_settings(purpose: str) -> DatabaseSettings:
    """The settings. Raises ConfigurationError where there is no address; ``purpose`` tells what the database is."""
    try:
        return DatabaseSettings.read()
    except ValidationError as error:
        raise ConfigurationError(f"DATABASE_URL is not set: it names the database {purpose}.") from error
