"""What PostgreSQL and NATS tell of themselves and of sessions; no photo, no face, no name of either."""

from typing import Any, Final

import asyncpg
import nats
import nats.errors

from triptych_common.progress.permissions import inbox_of

_SECONDS: Final = 5.0
_STATEMENT_MILLISECONDS: Final = 10_000
MOST_SESSIONS: Final = 500
"""The newest are told of."""

_QUESTIONS: Final = {
    "migration": "SELECT version_num FROM alembic_version",
    "tables": """
        SELECT relname AS name, reltuples::bigint AS about_rows, pg_table_size(oid) AS table_bytes,
            pg_indexes_size(oid) AS index_bytes
        FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname""",
    "sessions": f"""
        SELECT id, status, error_code, error_message, photos_found, created_at, started_at, discovered_at, paused_at,
            completed_at, updated_at, (SELECT jsonb_object_agg(c.status, c.count) FROM session_job_counts c
                WHERE c.session_id = s.id) AS photos
        FROM sessions s ORDER BY id DESC LIMIT {MOST_SESSIONS}""",  # noqa: S608 - a constant
    "runs": f"""
        SELECT session_id, phase, number, status, generation, total, skipped, done, failed, found, error_code,
            error_message, started_at, completed_at
        FROM runs WHERE session_id IN (SELECT id FROM sessions ORDER BY id DESC LIMIT {MOST_SESSIONS})
        ORDER BY session_id DESC, phase, number""",  # noqa: S608 - a constant
    "failures": f"""
        SELECT session_id, error_phase AS phase, error_code AS code, count(*) AS photos FROM session_assets
        WHERE status = 'failed' AND session_id IN (SELECT id FROM sessions ORDER BY id DESC LIMIT {MOST_SESSIONS})
        GROUP BY session_id, error_phase, error_code ORDER BY session_id DESC, phase, code""",  # noqa: S608 - a constant
    "unread_while_discovering": """
        SELECT session_id, code, count(*) AS files FROM session_problems GROUP BY session_id, code
        ORDER BY session_id DESC, code LIMIT 1000""",
    "leases": "SELECT session_id, epoch, expires_at FROM leases ORDER BY session_id",
    "outbox": "SELECT count(*) AS waiting FROM outbox",
    "connections": "SELECT state, count(*) FROM pg_stat_activity WHERE datname = current_database() GROUP BY state",
}


async def database_state(url: str) -> dict[str, Any]:
    """What the catalogue's database is like. A question that it cannot answer is answered by its reason.

    Raises:
        OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError: it does not answer at all.
        ValueError: that is no address.
    """
    connection = await _connect(url)
    try:
        state: dict[str, Any] = {
            "version": await connection.fetchval("SHOW server_version"),
            "bytes": await connection.fetchval("SELECT pg_database_size(current_database())"),
        }
        for name, question in _QUESTIONS.items():
            try:
                state[name] = [dict(row) for row in await connection.fetch(question)]
            except asyncpg.PostgresError as error:
                state[name] = f"not told: {error}"
    finally:
        await connection.close(timeout=_SECONDS)
    return state


async def media_roots_of_sessions(url: str) -> set[str]:
    """The directories that sessions were made for, so that redaction knows them. Raises as `database_state`."""
    connection = await _connect(url)
    try:
        rows = await connection.fetch("SELECT DISTINCT root_path FROM sessions")
    except asyncpg.UndefinedTableError:
        return set()
    finally:
        await connection.close(timeout=_SECONDS)
    return {row["root_path"].decode("utf-8", "surrogateescape") for row in rows}


async def _connect(url: str) -> asyncpg.Connection:
    # SQLAlchemy's spelling names its driver.
    scheme, separator, rest = url.partition("://")
    return await asyncpg.connect(
        f"{scheme.partition('+')[0]}{separator}{rest}",
        timeout=_SECONDS,
        server_settings={"statement_timeout": str(_STATEMENT_MILLISECONDS), "default_transaction_read_only": "on"},
    )


async def streams(url: str) -> dict[str, Any]:
    """The broker's streams and what they hold; of messages, only how many.

    Raises:
        OSError, TimeoutError, nats.errors.Error: it does not answer, or has no JetStream.
    """

    async def ignore(_error: Exception) -> None:
        """What `connect` raises says it all."""

    client = await nats.connect(
        url,
        allow_reconnect=False,
        max_reconnect_attempts=1,
        connect_timeout=int(_SECONDS),
        error_cb=ignore,
        inbox_prefix=inbox_of(url),
    )
    try:
        stream = client.jetstream(timeout=_SECONDS)
        account = await stream.account_info()
        told = [
            {
                "name": info.config.name,
                "messages": info.state.messages,
                "bytes": info.state.bytes,
                "first_sequence": info.state.first_seq,
                "last_sequence": info.state.last_seq,
                "consumers": info.state.consumer_count,
                "replicas": info.config.num_replicas,
                "storage": str(info.config.storage),
            }
            for info in await stream.streams_info()
        ]
        version = client.connected_server_version
    finally:
        await client.close()
    return {"version": str(version), "memory_bytes": account.memory, "storage_bytes": account.storage, "streams": told}
