"""A catalogue that was backed up in the middle of a run, and restored elsewhere, is a run that goes on from there."""

import asyncio
import dataclasses
from pathlib import Path

from tests.support.real_servers import nats_server
from tests.support.scripted_stack import HELD_AT, NEVER, PHOTOS, Servers, Watch, phases_of
from triptych_gateway.backup.creating import create_backup
from triptych_gateway.backup.restoring import restore_backup


def test_a_run_goes_on_from_where_it_was_backed_up(servers: Servers, empty_database_url: str, tmp_path: Path) -> None:
    embedder, detector = servers.workers.embedder, servers.workers.facedetect
    detector.photos_of_work = HELD_AT
    with servers.stack() as stack:
        session_id = stack.create(tmp_path)
        stack.start(session_id)
        watch = Watch(stack, session_id)
        watch.until_phase("face_detection", "processing", current=HELD_AT)
        backup = asyncio.run(create_backup(servers.database_url, tmp_path / "backups", environment={}))
        detector.photos_of_work = NEVER
        # What happens from here on is lost with the database.
        watch.until("completed")
    embedder.forget()
    detector.forget()

    with nats_server(tmp_path) as nats_url:
        asyncio.run(restore_backup(empty_database_url, backup, replace=False, nats_url=nats_url))
        restored = dataclasses.replace(servers, database_url=empty_database_url, nats_url=nats_url)
        with restored.stack() as stack:
            watch = Watch(stack, session_id)
            last = watch.until("completed")

    assert phases_of(last) == [("completed", PHOTOS, PHOTOS)] * 3
    assert sum(call.items for call in embedder.calls if call.is_work) == 0, "no photo is embedded again"
    assert detector.worked == PHOTOS - HELD_AT, "only what was left is searched for faces"
    # 30 for training and 65 for a quarter of face detection, from the first answer on.
    assert watch.percentages()[0] >= 30 + 65 * HELD_AT / PHOTOS - 0.1
    assert watch.percentages() == sorted(watch.percentages())
    assert last["overallProgress"]["percentage"] == 100
