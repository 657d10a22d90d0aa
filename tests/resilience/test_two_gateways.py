"""Two gateways on one database: a session is run by one of them, and by the other once that one is dead."""

import json
from dataclasses import replace
from pathlib import Path

from tests.support.held_planning import held_planning
from tests.support.real_servers import wait_for
from tests.support.running_gateway import Gateway
from tests.support.scripted_stack import HELD_AT, NEVER, PHOTOS, Servers, Watch, phases_of


def epochs_taken(gateway: Gateway, session_id: int) -> list[int]:
    """With which epochs a gateway has taken a session, by its log."""
    lines = [json.loads(line) for line in gateway.log.read_text().splitlines() if line.startswith("{")]
    return [one["epoch"] for one in lines if one["event"] == "session taken" and one["session"] == session_id]


def test_when_the_gateway_that_runs_a_session_is_killed_the_other_goes_on(servers: Servers, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with servers.stack() as first:
        worker = first.worker("face_detection")
        worker.photos_of_work = HELD_AT
        session_id = first.create(tmp_path)
        first.start(session_id)
        before = Watch(first, session_id)
        before.until_phase("face_detection", "processing", current=HELD_AT)

        with servers.gateway(other, first.progress) as gateway, gateway.client() as client:
            after = Watch(replace(first, gateway=gateway, client=client), session_id, seen=before.seen)
            first.gateway.process.kill()
            wait_for(lambda: epochs_taken(gateway, session_id) == [2], "the other gateway has taken it")
            after.look()
            worker.photos_of_work = NEVER
            last = after.until("completed")

    assert phases_of(last) == [("completed", PHOTOS, PHOTOS)] * 3
    assert after.percentages() == sorted(after.percentages())
    assert {body["overallStatus"] for body in after.seen[:-1]} == {"running"}
    assert worker.worked == PHOTOS, "nothing that was stored is done twice"


async def test_when_it_is_killed_while_it_plans_the_other_plans_anew(servers: Servers, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with servers.stack() as first:
        session_id = first.create(tmp_path)
        before = Watch(first, session_id)
        async with held_planning(servers.database_url, session_id, ordinal=PHOTOS // 2) as planning:
            first.start(session_id)
            await planning.until_held()
            before.look()
            with servers.gateway(other, first.progress) as gateway, gateway.client() as client:
                after = Watch(replace(first, gateway=gateway, client=client), session_id, seen=before.seen)
                first.gateway.process.kill()
                wait_for(lambda: epochs_taken(gateway, session_id) == [2], "the other gateway has taken it")
                await planning.release()
                last = after.until("completed")

    assert phases_of(last) == [("completed", PHOTOS, PHOTOS)] * 3
    assert after.percentages() == sorted(after.percentages())
    assert [first.worker(phase).worked for phase in ("training", "face_detection")] == [PHOTOS, PHOTOS]
