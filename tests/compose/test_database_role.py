"""The role as which a running gateway works: it changes rows, and no table."""

import json
from typing import Any, Final

from tests.compose.composition import Composition

_REFUSED: Final = "42501"
"""SQLSTATE of a right that is not given."""
_STATEMENTS: Final = {
    "CREATE TABLE public.mine (id int)": _REFUSED,
    "CREATE SCHEMA mine": _REFUSED,
    "CREATE ROLE mine": _REFUSED,
    "ALTER TABLE sessions ADD COLUMN mine int": _REFUSED,
    "DROP TABLE sessions": _REFUSED,
    "TRUNCATE assets CASCADE": _REFUSED,
    "CREATE INDEX mine ON assets (id)": _REFUSED,
    "UPDATE alembic_version SET version_num = '0001'": _REFUSED,
    "DELETE FROM tokens": _REFUSED,
    "UPDATE audit SET caller = 'somebody else'": _REFUSED,
    "SELECT pg_read_file('/etc/passwd')": _REFUSED,
    "SELECT count(*) FROM sessions": None,
}
_ASK: Final = """
import asyncio, json, pathlib, sys
import asyncpg

async def main():
    connection = await asyncpg.connect(pathlib.Path("/run/triptych/DATABASE_URL").read_text())
    said = {}
    for statement in json.load(sys.stdin):
        # What should be possible after all is undone.
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(statement)
            said[statement] = None
        except asyncpg.PostgresError as error:
            said[statement] = error.sqlstate
        finally:
            await transaction.rollback()
    sessions = await connection.fetch(
        "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'triptych'")
    owned = await connection.fetchval(
        "SELECT count(*) FROM pg_tables WHERE tableowner = current_user AND schemaname = 'public'")
    print(json.dumps({"said": said, "sessions": [row["usename"] for row in sessions], "owned": owned}))

asyncio.run(main())
"""


def test_what_the_gateway_knows_of_the_database_changes_rows_and_no_table(compose: Composition) -> None:
    compose.start()
    answer = _ask(compose)

    assert answer["said"] == _STATEMENTS
    assert answer["owned"] == 0
    assert answer["sessions"] == ["triptych_gateway"]


def test_the_owner_is_known_to_a_migration_that_has_ended(compose: Composition) -> None:
    assert [(one["Status"], one["ExitCode"]) for one in compose.states("migrate")] == [("exited", 0)]
    known = compose("exec", "-T", "gateway", "ls", "/run/triptych").split()
    assert set(known) == {"DATABASE_URL", "NATS_URL", "TRIPTYCH_SERVICE_TOKEN"}
    assert "//triptych_gateway:" in compose("exec", "-T", "gateway", "cat", "/run/triptych/DATABASE_URL")
    assert "OWNER" not in compose("exec", "-T", "gateway", "env")


def _ask(compose: Composition) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(
        compose("exec", "-T", "gateway", "python3", "-c", _ASK, given=json.dumps(list(_STATEMENTS)))
    )
    return answer
