"""An aggregator that has lost its stream or its snapshots asks, and is told everything again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
import nats.errors
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.catalogue import FACES, MODEL, begin, broken, detected, embedded, items_of, new_session, table
from tests.support.emptied_database import database_of_a_file, emptied
from tests.support.ending import end_tasks
from tests.support.nats_server import NatsServer
from tests.support.real_servers import PostgresServer, eventually
from tests.support.running_aggregator import running_aggregator, until
from tests.support.running_progress import RunningProgress, running_progress
from triptych.v1 import progress_event_pb2, progress_pb2
from triptych_common.progress.events import (
    ALL_SUBJECTS,
    REANNOUNCE_ACCEPTED,
    REANNOUNCE_SUBJECT,
    STREAM,
)
from triptych_gateway.catalog.database import create_engine
from triptych_gateway.catalog.runs import lifecycle, results, shards
from triptych_gateway.catalog.sessions import control, sessions
from triptych_gateway.pipeline.outbox_relay import OutboxRelay
from triptych_gateway.pipeline.reannouncing import Reannouncer

SHARD_SIZE = 2
ANSWER_SECONDS = 10


@dataclass(kw_only=True)
class Stage:
    """NATS with the stream, a catalogue, and gateways that announce."""

    engine: AsyncEngine
    server: NatsServer
    folder: Path
    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def start_gateway(self, *, engine: AsyncEngine | None = None) -> None:
        """What a gateway runs of it, until the stage ends."""
        reannouncer = Reannouncer(engine or self.engine)
        relay = OutboxRelay(self.engine, nats_url=self.server.url, reannouncer=reannouncer)
        tasks = [asyncio.create_task(relay.run()), asyncio.create_task(reannouncer.run())]
        self.stack.push_async_callback(end_tasks, tasks)

    async def ask(self) -> bytes:
        """Ask for everything, as soon as there is a gateway that listens; returns its answer."""
        async with asyncio.timeout(ANSWER_SECONDS), _connected(self.server) as client:
            while True:
                try:
                    answer: bytes = (await client.request(REANNOUNCE_SUBJECT, timeout=ANSWER_SECONDS)).data
                except nats.errors.NoRespondersError:
                    await asyncio.sleep(0.02)
                else:
                    return answer

    async def events(self) -> list[progress_event_pb2.ProgressEvent]:
        """What the stream holds."""
        async with _connected(self.server) as client:
            jetstream = client.jetstream()
            state = (await jetstream.stream_info(STREAM)).state
            messages = [
                await jetstream.get_msg(STREAM, sequence) for sequence in range(state.first_seq, state.last_seq + 1)
            ]
        return [progress_event_pb2.ProgressEvent.FromString(message.data or b"") for message in messages]

    async def until_relayed(self) -> None:
        """Wait until the outbox is empty."""

        async def is_empty() -> bool:
            async with self.engine.connect() as connection:
                return await table(connection, "SELECT count(*) FROM outbox") == [(0,)]

        await eventually(is_empty, "everything has left the outbox")

    async def steps(self, session_id: int) -> int:
        """Lifecycle announcements of a session so far."""
        async with self.engine.connect() as connection:
            return (await sessions.get_session(connection, session_id)).lifecycle_step


@contextlib.asynccontextmanager
async def _connected(server: NatsServer) -> AsyncIterator[Any]:
    client = await nats.connect(server.url, allow_reconnect=False)
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture(scope="module")
def database_of_file(postgres: PostgresServer) -> Iterator[str]:
    with database_of_a_file(postgres) as url:
        yield url


@pytest.fixture
def database_url(database_of_file: str) -> str:
    return emptied(database_of_file)


@pytest_asyncio.fixture
async def stage(engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[Stage]:
    server = NatsServer(folder=tmp_path)
    await server.start()
    try:
        async with _connected(server) as client:
            await client.jetstream().add_stream(name=STREAM, subjects=[ALL_SUBJECTS])
        made = Stage(engine=engine, server=server, folder=tmp_path)
        async with made.stack:
            yield made
    finally:
        server.stop()


async def begun(connection: AsyncConnection, session_id: int, phase: str) -> lifecycle.Run:
    return await begin(connection, session_id, phase, model=MODEL if phase == "training" else FACES)


async def make_session_at_work(engine: AsyncEngine) -> int:
    """Training completed with a failure; of face detection one shard done, one half, and one not begun."""
    async with engine.begin() as connection:
        paths = [f"/photos/{number}".encode() for number in range(3 * SHARD_SIZE)]
        session_id = await new_session(connection, paths=paths, shard_size=SHARD_SIZE)
        await control.start_session(connection, session_id)
        training = await begun(connection, session_id, "training")
        bad, *good = await items_of(connection, training)
        outcomes = [broken(bad), *(embedded(item) for item in good)]
        await results.write_outcomes(connection, training, outcomes, model_id=MODEL)
        for shard in await shards.shard_counts(connection, training):
            await shards.announce_shards(connection, training, [shard], epoch=1)
        await lifecycle.update_run(connection, training.id, status="completed")
        detection = await begun(connection, session_id, "face_detection")
        by_shard = sorted(await items_of(connection, detection), key=lambda item: item.ordinal)
        looked_at = by_shard[: SHARD_SIZE + 1]
        found = [detected(looked_at[0], 1.0), broken(looked_at[1]), detected(looked_at[2])]
        await results.write_outcomes(connection, detection, found, model_id=FACES)
        for shard in await shards.shard_counts(connection, detection):
            if shard.done or shard.failed:
                await shards.announce_shards(connection, detection, [shard], epoch=1)
    return session_id


async def make_failed_session(engine: AsyncEngine) -> int:
    """Every photo failed."""
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/failed"], shard_size=SHARD_SIZE)
        await control.start_session(connection, session_id)
        run = await begun(connection, session_id, "training")
        [item] = await items_of(connection, run)
        await results.write_outcomes(connection, run, [broken(item)], model_id=MODEL)
        [shard] = await shards.shard_counts(connection, run)
        await shards.announce_shards(connection, run, [shard], epoch=1)
        error = {"error_code": "every_photo_failed", "error_message": "All failed."}
        await lifecycle.update_run(connection, run.id, status="failed", **error)
        await sessions.end_session(connection, session_id, status="failed", **error)
    return session_id


def standing(progress: progress_pb2.SessionProgress | None) -> list[tuple[Any, ...]]:
    """What an aggregator says of each phase, without what depends on when it heard of it."""
    return [
        (one.phase, one.run, one.state, one.done, one.failed, one.skipped, one.total, one.weight, one.error.code)
        for one in (progress.phases if progress is not None else ())
    ]


async def test_an_aggregator_that_lost_everything_is_told_the_same_state(stage: Stage) -> None:
    ids = [await make_session_at_work(stage.engine), await make_failed_session(stage.engine)]
    await stage.start_gateway()
    await stage.until_relayed()

    def told(service: RunningProgress) -> list[list[tuple[Any, ...]]]:
        return [standing(service.get(session_id)) for session_id in ids]

    with running_progress(nats_url=stage.server.url, folder=stage.folder) as service:
        before = await asyncio.to_thread(told, service)
    assert [one[3:7] for one in before[0]] == [(5, 1, 0, 6), (2, 1, 0, 6), (0, 0, 0, 0)]
    assert (before[1][0][4], before[1][0][8]) == (1, "every_photo_failed")
    stage.server.kill()
    stage.server.wipe()
    await stage.server.start()

    with running_progress(nats_url=stage.server.url, folder=stage.folder) as service:
        assert await stage.ask() == REANNOUNCE_ACCEPTED

        async def is_told() -> bool:
            return await asyncio.to_thread(told, service) == before

        await eventually(is_told, "the new aggregator says what the old one said")


async def test_an_aggregator_that_lost_everything_asks_by_itself(stage: Stage) -> None:
    session_id = await make_session_at_work(stage.engine)
    await stage.start_gateway()
    await stage.until_relayed()
    async with running_aggregator(stage.server.url) as running:
        before = standing(await running.until(lambda one: one.phases[1].done == SHARD_SIZE, session_id))
        asking = running.aggregator.reannouncement
        await until(lambda: asking.accepted == 1, "the gateway has accepted, since there were no snapshots")
        stage.server.kill()
        stage.server.wipe()
        await stage.server.start()
        await until(lambda: asking.accepted > 1, "the gateway has accepted again")
        assert standing(await running.get(session_id)) == before, "it forgets nothing meanwhile"

    stage.server.kill()
    stage.server.wipe()
    await stage.server.start()
    async with running_aggregator(stage.server.url) as running:
        told = await running.until(lambda one: standing(one) == before, session_id)
        assert told.percentage > 0


async def test_what_the_stream_holds_already_is_announced_all_the_same(stage: Stage) -> None:
    """The stream drops what it was sent a short while ago: what is meant for a fold must not be taken for that."""
    await make_session_at_work(stage.engine)
    await stage.start_gateway()
    await stage.until_relayed()
    before = len(await stage.events())

    for round_number in (1, 2):
        await stage.ask()

        async def is_there(rounds: int = round_number) -> bool:
            # The three phases; the completed one's shard with a failure, and the two shards begun of the other.
            return len(await stage.events()) == before + rounds * (3 + 1 + 2)

        await eventually(is_there, "every announcement has reached the stream")


async def test_sessions_that_never_began_are_not_announced(stage: Stage) -> None:
    async with stage.engine.begin() as connection:
        pending = await new_session(connection, paths=[b"/photos/a"])
    failed = await make_failed_session(stage.engine)
    await stage.start_gateway()
    before = await stage.steps(failed)

    await stage.ask()

    async def is_announced() -> bool:
        return await stage.steps(failed) == before + len(sessions.PHASES)

    await eventually(is_announced, "the failed session is announced")
    assert await stage.steps(pending) == 0


async def test_one_of_several_gateways_answers(stage: Stage) -> None:
    session_id = await make_failed_session(stage.engine)
    for _ in range(3):
        await stage.start_gateway()
    await stage.until_relayed()
    before = await stage.steps(session_id)

    assert await stage.ask() == REANNOUNCE_ACCEPTED

    async def is_announced() -> bool:
        return await stage.steps(session_id) > before

    await eventually(is_announced, "the session is announced")
    await stage.until_relayed()
    assert await stage.steps(session_id) == before + len(sessions.PHASES)


async def test_requests_are_taken_again_after_nats_was_away(stage: Stage) -> None:
    session_id = await make_failed_session(stage.engine)
    await stage.start_gateway()
    await stage.ask()
    await stage.until_relayed()

    stage.server.kill()
    await stage.server.start()
    before = await stage.steps(session_id)
    assert await stage.ask() == REANNOUNCE_ACCEPTED

    async def is_announced() -> bool:
        return await stage.steps(session_id) > before

    await eventually(is_announced, "the session is announced")


async def test_a_request_waits_for_a_database_that_does_not_answer(stage: Stage, database_url: str) -> None:
    session_id = await make_failed_session(stage.engine)
    impatient = create_engine(database_url, statement_seconds=1.0)
    stage.stack.push_async_callback(impatient.dispose)
    await stage.start_gateway(engine=impatient)
    before = await stage.steps(session_id)

    async def waiting() -> int:
        async with stage.engine.connect() as connection:
            query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'sessions'::regclass"
            count: int = (await table(connection, query))[0][0]
            return count

    async def is_waiting() -> bool:
        return await waiting() == 1

    async def has_given_up() -> bool:
        return await waiting() == 0

    async with stage.engine.begin() as holder:
        await holder.execute(text("LOCK TABLE sessions"))
        assert await stage.ask() == REANNOUNCE_ACCEPTED
        await eventually(is_waiting, "it asks the database")
        await eventually(has_given_up, "it has no answer")

    async def is_announced() -> bool:
        return await stage.steps(session_id) == before + len(sessions.PHASES)

    await eventually(is_announced, "the session is announced after all")
