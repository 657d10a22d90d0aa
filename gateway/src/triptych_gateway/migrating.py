"""Brings the schema to this version and ends: what is run before gateways of a new version start."""

from typing import NoReturn

from sqlalchemy.engine import make_url

from triptych_common.errors import ConfigurationError
from triptych_common.logging import get_logger
from triptych_common.process import run_process
from triptych_gateway.catalog.database import create_bare_engine, migrate
from triptych_gateway.catalog.runtime_role import RuntimeRole, provide_runtime_role
from triptych_gateway.settings import MigrationSettings

log = get_logger(__name__)


async def run(settings: MigrationSettings) -> None:
    """Migrate under the advisory lock, as the owner where one is named. Raises ConfigurationError."""
    await migrate(settings.database_owner_url or settings.database_url)
    if settings.database_owner_url is not None:
        await _provide(settings.database_owner_url, _role_of(settings.database_url))
    log.info("the schema is of this version")


def _role_of(database_url: str) -> RuntimeRole:
    url = make_url(database_url)
    if not url.username or not url.password:
        raise ConfigurationError("DATABASE_URL names no role with a password, as which gateways are to work.")
    return RuntimeRole(name=url.username, password=url.password)


async def _provide(owner_url: str, role: RuntimeRole) -> None:
    engine = create_bare_engine(owner_url)
    try:
        async with engine.begin() as connection:
            await provide_runtime_role(connection, role)
    finally:
        await engine.dispose()


def main() -> NoReturn:
    """Migrate: the console script ``triptych-migrate``."""
    run_process("migrate", MigrationSettings, run)
