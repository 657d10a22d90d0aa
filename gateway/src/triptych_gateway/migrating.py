"""Brings the schema to this version and ends: what is run before gateways of a new version start."""

from typing import NoReturn

from triptych_common.logging import get_logger
from triptych_common.process import run_process
from triptych_gateway.catalog.database import migrate
from triptych_gateway.settings import DatabaseSettings

log = get_logger(__name__)


async def run(settings: DatabaseSettings) -> None:
    """Migrate under the advisory lock. Raises ConfigurationError where that cannot be."""
    await migrate(settings.database_url)
    log.info("the schema is of this version")


def main() -> NoReturn:
    """Migrate: the console script ``triptych-migrate``."""
    run_process("migrate", DatabaseSettings, run)
