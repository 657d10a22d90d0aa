"""What each part of Triptych may do at a real NATS server that is configured as the embedded one is."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from tests.support.certificates import make_certificates
from tests.support.nats_server import NatsServer
from tests.support.progress_events import life
from tests.support.real_servers import eventually, run_apart
from tests.support.running_aggregator import running_aggregator, until
from triptych_common.progress.events import (
    PHASES_BY_NAME,
    REANNOUNCE_ACCEPTED,
    REANNOUNCE_SUBJECT,
    STREAM,
    StreamLimits,
    stream_config,
    subject_of,
)
from triptych_common.progress.permissions import PERMISSIONS, authorization, inbox_of
from triptych_common.progress.publisher import ProgressPublisher, UnitReport, close_nats, connect_nats
from triptych_gateway.backup.progress_stream import forget_progress, require_nobody_following

OPERATOR = "operator"
WORKERS = {"embedder": "training", "facedetect": "face_detection", "cluster": "clustering"}
SESSION = 17
EVERYTHING = (">", "progress.v1.>", "_INBOX.>", "_INBOX.operator.>", "$KV.>", "$JS.EVENT.>", REANNOUNCE_SUBJECT)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    folder = tmp_path_factory.mktemp("nats")
    configuration = folder / "nats.conf"
    configuration.write_text("jetstream {}\n" + authorization(lambda user: f'"of-{user}"', operators=(OPERATOR,)))
    running = NatsServer(folder=folder, options=("--config", str(configuration)))
    run_apart(running.start())
    yield running
    running.stop()


@pytest.fixture
async def stream(server: NatsServer) -> AsyncIterator[None]:
    """The stream, made by somebody who may."""
    async with connected(server, OPERATOR) as (client, _):
        await client.jetstream().add_stream(stream_config(StreamLimits()))
        yield
        with contextlib.suppress(NotFoundError):
            await client.jetstream().delete_stream(STREAM)


def url_of(server: NatsServer, user: str) -> str:
    return server.url.replace("nats://", f"nats://{user}:of-{user}@")


@contextlib.asynccontextmanager
async def connected(server: NatsServer, user: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """A client, and what the server has refused it."""
    refused: list[str] = []

    async def on_error(error: Exception) -> None:
        refused.append(str(error))

    url = url_of(server, user)
    client = await nats.connect(url, inbox_prefix=inbox_of(url), allow_reconnect=False, error_cb=on_error)
    try:
        yield client, refused
    finally:
        await client.close()


async def answered(client: Client) -> None:
    """Wait until the server has told all that it refuses: it answers in order, but the first ping may overtake."""
    await client.flush()
    await client.flush()


async def may_publish(server: NatsServer, user: str, subject: str) -> bool:
    async with connected(server, user) as (client, refused):
        await client.publish(subject, b"")
        await answered(client)
        assert all("permissions violation for publish" in one for one in refused), refused
        return not refused


async def may_subscribe(server: NatsServer, user: str, subject: str) -> bool:
    async with connected(server, user) as (client, refused):
        await client.subscribe(subject)
        await answered(client)
        assert all("permissions violation for subscription" in one for one in refused), refused
        return not refused


@pytest.mark.parametrize("worker", WORKERS)
@pytest.mark.usefixtures("stream")
async def test_a_worker_publishes_the_progress_of_its_phase_and_knows_that_it_arrived(
    server: NatsServer, worker: str
) -> None:
    async with (
        ProgressPublisher(nats_url=url_of(server, worker), source=worker, interval_seconds=0.02) as publisher,
        connected(server, OPERATOR) as (operator, _),
    ):
        report = UnitReport(
            session_id=SESSION, phase=PHASES_BY_NAME[WORKERS[worker]], run=1, unit="0", done=4, failed=0, total=4
        )
        publisher.report(report)

        async def has_arrived() -> bool:
            return (await operator.jetstream().stream_info(STREAM)).state.messages == 1

        await eventually(has_arrived, "the report is in the stream")
        # The last report of a unit is acknowledged: what is not would be sent again and again.
        await until(lambda: publisher.statistics.sent == 1, "its arrival is known")


@pytest.mark.parametrize("worker", WORKERS)
async def test_a_worker_may_publish_nothing_else(server: NatsServer, worker: str) -> None:
    own = WORKERS[worker]
    for name, phase in PHASES_BY_NAME.items():
        assert await may_publish(server, worker, subject_of(SESSION, phase)) == (name == own), name
    for subject in (
        f"progress.v1.{SESSION}",
        f"progress.v1.{SESSION}.{own}.more",
        REANNOUNCE_SUBJECT,
        f"$JS.API.STREAM.DELETE.{STREAM}",
        "$JS.API.STREAM.CREATE.own",
        f"$JS.API.STREAM.MSG.GET.{STREAM}",
        f"$JS.API.CONSUMER.CREATE.{STREAM}",
        "$KV.progress-snapshots-v1.17",
        "_INBOX.progress.abc",
    ):
        assert not await may_publish(server, worker, subject), subject


@pytest.mark.parametrize("user", [user for user in PERMISSIONS if user != "gateway"])
async def test_nobody_listens_to_others(server: NatsServer, user: str) -> None:
    for subject in EVERYTHING:
        assert not await may_subscribe(server, user, subject), subject
    assert await may_subscribe(server, user, f"_INBOX.{user}.>")


async def test_the_gateway_publishes_every_phase_and_hears_who_asks_for_announcements(server: NatsServer) -> None:
    for phase in PHASES_BY_NAME.values():
        assert await may_publish(server, "gateway", subject_of(SESSION, phase))
    for subject in EVERYTHING:
        assert await may_subscribe(server, "gateway", subject) == (subject == REANNOUNCE_SUBJECT), subject
    assert not await may_publish(server, "gateway", f"$JS.API.STREAM.DELETE.{STREAM}")
    async with connected(server, "gateway") as (gateway, _), connected(server, "progress") as (progress, _):

        async def accept(message: Msg) -> None:
            await message.respond(REANNOUNCE_ACCEPTED)

        await gateway.subscribe(REANNOUNCE_SUBJECT, queue="gateways", cb=accept)
        await gateway.flush()
        assert (await progress.request(REANNOUNCE_SUBJECT, timeout=30)).data == REANNOUNCE_ACCEPTED


async def test_progress_may_do_all_that_folding_takes_and_publish_no_progress(server: NatsServer) -> None:
    publisher = await connect_nats(url_of(server, "gateway"), name="gateway")
    try:
        async with running_aggregator(url_of(server, "progress"), snapshot_seconds=0.1) as running:
            event = life()
            await publisher.jetstream().publish(subject_of(event.session_id, event.phase), event.SerializeToString())
            await running.until_in_memory(event.session_id)
            await running.until_saved()
        async with running_aggregator(url_of(server, "progress")) as later:
            await later.until_in_memory(event.session_id)
    finally:
        await close_nats(publisher)
    assert not await may_publish(server, "progress", subject_of(SESSION, PHASES_BY_NAME["training"]))
    assert not await may_publish(server, "progress", "$JS.API.STREAM.CREATE.another")


@pytest.mark.usefixtures("stream")
async def test_who_restores_a_backup_may_forget_progress_and_nothing_else(server: NatsServer) -> None:
    url = url_of(server, "backup")
    await require_nobody_following(url)
    await forget_progress(url)

    async with connected(server, OPERATOR) as (client, _):
        with pytest.raises(NotFoundError):
            await client.jetstream().stream_info(STREAM)
    for subject in (
        subject_of(SESSION, PHASES_BY_NAME["training"]),
        "$JS.API.STREAM.CREATE.another",
        "$KV.progress-ended-v1.1",
    ):
        assert not await may_publish(server, "backup", subject), subject


@pytest.mark.parametrize("user", ["triptych", "embedder"])
async def test_nobody_gets_in_with_another_password(server: NatsServer, user: str) -> None:
    with pytest.raises(nats.errors.AuthorizationError):
        await connect_nats(server.url.replace("nats://", f"nats://{user}:of-cluster@"), name="a stranger")


async def test_nats_is_spoken_to_by_tls_where_its_url_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_certificates(tmp_path)
    configuration = tmp_path / "nats.conf"
    configuration.write_text(f"""tls {{ cert_file: "{made.certificate}", key_file: "{made.key}" }}
        {authorization(lambda user: f'"of-{user}"')}""")
    server = NatsServer(folder=tmp_path, options=("--config", str(configuration)))
    await server.start()
    try:
        url = url_of(server, "gateway").replace("nats://", "tls://")
        with pytest.raises(ssl.SSLCertVerificationError):
            await nats.connect(url, allow_reconnect=False, max_reconnect_attempts=1)
        monkeypatch.setenv("SSL_CERT_FILE", str(made.authority))
        client = await connect_nats(url, name="gateway")
        assert client.is_connected
        await close_nats(client)
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("url", "inbox"),
    [
        ("nats://127.0.0.1:4222", b"_INBOX"),
        ("nats://embedder:a%20b@127.0.0.1:4222", b"_INBOX.embedder"),
        ("tls://embedder:a@n-0:4222,tls://embedder:a@n-1:4222", b"_INBOX.embedder"),
    ],
)
def test_a_user_waits_for_answers_at_its_own_inbox(url: str, inbox: bytes) -> None:
    assert inbox_of(url) == inbox
