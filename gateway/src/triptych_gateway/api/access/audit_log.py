"""Records who had what done, and how that was answered, before the answer leaves."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from pydantic.alias_generators import to_camel
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import Message, Send
from starlette.types import Scope as Connection

from triptych_common.logging import get_logger
from triptych_gateway.api.access.callers import Caller
from triptych_gateway.api.request_ids import IN_SCOPE
from triptych_gateway.catalog.access import audit
from triptych_gateway.catalog.access.audit import Deed
from triptych_gateway.catalog.database import DATABASE_AWAY, is_away

log = get_logger(__name__)

SUBJECT: Final = "triptych.subject"
"""Where an endpoint leaves, in the request's scope, the ids of what it made."""
_ID: Final = re.compile(r"[0-9]{1,19}")
_MOST_PATH: Final = 300
"""Characters of a path that are kept."""
_LARGEST_ID: Final = 2**63 - 1
_REMOVE_EVERY_SECONDS: Final = 3600.0


class AuditLog:
    """What was let through to change something, in the catalogue and in the log."""

    def __init__(self, engine: AsyncEngine, *, keep_days: int) -> None:
        self._engine = engine
        self._keep_days = keep_days

    async def run(self) -> None:
        """Remove what is older than is kept, now and every hour, until cancelled."""
        while True:
            try:
                async with self._engine.begin() as connection:
                    removed = await audit.remove_older(connection, days=self._keep_days)
                if removed:
                    log.info("old entries of the audit log are removed", entries=removed, keep_days=self._keep_days)
            except DATABASE_AWAY as error:
                if not is_away(error):
                    raise
                log.warning("the audit log is not tidied: the database is away", error=repr(error))
            await asyncio.sleep(_REMOVE_EVERY_SECONDS)

    def recorded(self, send: Send, scope: Connection, caller: Caller | None) -> Send:
        """Where an answer is to be sent that is recorded before it leaves."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._record(_deed(scope, caller, message["status"]))
            await send(message)

        return sent

    async def _record(self, deed: Deed) -> None:
        log.info("asked for a change", **asdict(deed))
        if deed.status == 503:
            # Nothing was done, and the database, which may be why, would only have the caller wait longer.
            return
        try:
            async with self._engine.begin() as connection:
                await audit.record(connection, deed)
        except DATABASE_AWAY as error:
            if not is_away(error):
                raise
            # What was done is done, and its answer must not say otherwise.
            log.exception("only this log knows of a change: the database is away", **asdict(deed))


def _deed(scope: Connection, caller: Caller | None, status: int) -> Deed:
    about: Mapping[str, Any] = scope.get("path_params", {}) | scope.get(SUBJECT, {})
    route = scope.get("route")
    return Deed(
        request_id=scope[IN_SCOPE],
        caller=caller.name if caller is not None else None,
        token_id=caller.token_id if caller is not None else None,
        action=to_camel(route.name) if route is not None else None,
        method=scope["method"],
        path=scope["path"].encode(errors="replace").decode().replace("\0", "\\0")[:_MOST_PATH],
        session_id=_id(about.get("session_id")),
        person_id=_id(about.get("person_id")),
        status=status,
    )


def _id(value: Any) -> int | None:
    """What a path names, where that can be an id: it may also be anything else."""
    number = int(value) if _ID.fullmatch(str(value)) else 0
    return number if 1 <= number <= _LARGEST_ID else None
