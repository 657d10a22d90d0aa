"""`triptych train` from its first look for a gateway to its exit status."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from triptych_gateway.cli.rest.following import FollowingOptions
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.training_run import RunningStack, TrainingRun, TrainRequest

if TYPE_CHECKING:
    from tests.unit.gateway.cli.conftest import ContractGateway

DEADLINE_SECONDS = 20.0


class StandInStack:
    """What a run needs of a stack: a gateway for as long as it is open."""

    def __init__(self, gateway: "ContractGateway") -> None:
        self._gateway = gateway
        self.ended = asyncio.Event()
        self.failure: StackError | None = None
        self.waited_for = asyncio.Event()
        self.was_stopped = False

    async def wait(self) -> int:
        self.waited_for.set()
        await self.ended.wait()
        return 0 if self.failure is None else 1

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[RunningStack]:
        await asyncio.to_thread(self._gateway.start)
        try:
            yield self
        finally:
            self._gateway.stop()
            self.was_stopped = True


def _no_stack() -> AbstractAsyncContextManager[RunningStack]:
    raise AssertionError("no stack is to be started here")


@pytest.fixture
def request_of(gateway: "ContractGateway", tmp_path: Path) -> Callable[..., TrainRequest]:
    def make(**changes: Any) -> TrainRequest:
        following = FollowingOptions(patience_seconds=10.0, poll_interval_seconds=0.02)
        plain = TrainRequest(
            directory=tmp_path, name="holiday", url=gateway.url, may_start_stack=False, following=following
        )
        return replace(plain, **changes)

    return make


@pytest.fixture
def default_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


async def _run(request: TrainRequest, open_stack: Callable[[], Any] = _no_stack) -> int:
    return await TrainingRun(request, open_stack=open_stack).run()


async def _until_held(gateway: "ContractGateway") -> None:
    assert await asyncio.to_thread(gateway.holding.wait, DEADLINE_SECONDS)


async def test_the_last_line_of_standard_output_is_the_report(
    gateway: "ContractGateway", request_of: Callable[..., TrainRequest], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.failed_jobs = [gateway.failed_job(number) for number in range(1, 131)]
    gateway.problems = [{"path": "/photos/shut", "code": "permission_denied", "message": "may not be read"}]
    assert await _run(request_of(as_json=True)) == 0
    output, messages = capsys.readouterr()
    assert output.count("\n") == 1
    report = json.loads(output)
    failed = report.pop("failed")
    assert len(failed) == 130
    assert failed[0] == {
        "path": "/photos/bad-1.jpg",
        "code": "corrupt",
        "reason": "The file is cut short",
        "phase": "training",
    }
    assert report == {
        "session_id": 7,
        "status": "completed",
        "photos": 100,
        "embedded": 88,
        "skipped": 10,
        "problems": [{"path": "/photos/shut", "code": "permission_denied", "reason": "may not be read"}],
        "faces": 40,
        "groups": 5,
        "seconds_per_phase": {"training": 3.5, "face_detection": 7.25, "clustering": 0.5},
        "models": {
            "embedding": {"id": "mobilenet", "pack": "bundled", "device": "cpu"},
            "faces": {"id": "dlib", "pack": "bundled", "device": "cpu"},
        },
        "error": None,
        "page_url": f"{gateway.url}/#/sessions/7",
    }
    assert "✓ All Phases Complete" in messages


async def test_a_person_is_told_the_phases_and_the_outcome(
    gateway: "ContractGateway", request_of: Callable[..., TrainRequest], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.failed_jobs = [gateway.failed_job(number) for number in range(1, 26)]
    assert await _run(request_of()) == 0
    output = capsys.readouterr().out
    for told in (
        "🎨 Training – Generating Embeddings",
        "😊 Face Detection – Analyzing Faces: 50 of 100 photos, 600/min",
        "✓ All Phases Complete",
        "/photos/bad-20.jpg: The file is cut short (corrupt)",
        "… and 5 more",
        "mobilenet, bundled pack, on cpu",
        "note: this is not CLIP",
        f"page: {gateway.url}/#/sessions/7",
    ):
        assert told in output
    assert "bad-21" not in output
    (created,) = gateway.created
    assert created["name"] == "holiday"
    assert created["config"] == {"recursive": True}


async def test_a_failed_session_exits_with_1_and_names_the_error(
    gateway: "ContractGateway", request_of: Callable[..., TrainRequest], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.play_failure()
    assert await _run(request_of(as_json=True)) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["status"] == "failed"
    assert report["error"] == {
        "phase": "clustering",
        "code": "internal",
        "message": "the clusterer raised ValueError",
    }
    assert report["seconds_per_phase"]["clustering"] is None


async def test_names_are_escaped_for_a_person_and_exact_for_a_program(
    gateway: "ContractGateway", request_of: Callable[..., TrainRequest], capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = b"/photos/\x1b[2Jcaf\xe9\n.jpg".decode(errors="surrogateescape")
    gateway.failed_jobs = [gateway.failed_job(1, hostile)]
    assert await _run(request_of(as_json=True)) == 0
    output, messages = capsys.readouterr()
    assert json.loads(output)["failed"][0]["path"] == hostile
    assert r"/photos/\x1b[2Jcaf\xe9\n.jpg: The file is cut short" in messages
    assert "\x1b" not in output + messages


async def test_a_path_outside_the_media_roots_exits_with_2_and_says_what_to_do(
    gateway: "ContractGateway",
    request_of: Callable[..., TrainRequest],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    sentence = "The path is not under a media root"
    body = {"message": sentence, "error": {"code": "path_not_allowed", "message": sentence, "details": {}}}
    gateway.refusals["/training/sessions"] = (400, body)
    assert await _run(request_of()) == 2
    messages = capsys.readouterr().err
    assert sentence in messages
    assert f"`triptych up --media-root {tmp_path}`" in messages
    assert await _run(request_of(directory=tmp_path / "missing")) == 2
    assert "is not a directory on this machine either" in capsys.readouterr().err


async def test_another_gateways_address_is_never_replaced_by_services_of_ones_own(
    gateway: "ContractGateway", request_of: Callable[..., TrainRequest], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.stop()
    assert await _run(request_of()) == 1
    assert f"no gateway answers at {gateway.url}" in capsys.readouterr().err


async def test_another_program_at_the_address_is_told_apart(
    gateway: "ContractGateway", request_of: Callable[..., TrainRequest], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.refusals["/health"] = (404, {"detail": "Not Found"})
    assert await _run(request_of(may_start_stack=True)) == 1
    assert "is it a Triptych gateway?" in capsys.readouterr().err


async def test_ctrl_c_leaves_the_session_to_the_running_gateway(
    gateway: "ContractGateway",
    request_of: Callable[..., TrainRequest],
    capsys: pytest.CaptureFixture[str],
    default_signals: None,
) -> None:
    gateway.holds_at = 1
    running = asyncio.create_task(_run(request_of()))
    await _until_held(gateway)
    os.kill(os.getpid(), signal.SIGINT)
    assert await asyncio.wait_for(running, DEADLINE_SECONDS) == 130
    assert f"session 7 goes on in the gateway: {gateway.url}/#/sessions/7" in capsys.readouterr().out
    assert not any(path.endswith("/cancel") for _, path in gateway.requests)


async def test_a_gateway_that_restarts_is_waited_for_and_said(
    gateway: "ContractGateway", request_of: Callable[..., TrainRequest], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.holds_at = 1
    running = asyncio.create_task(_run(request_of()))
    await _until_held(gateway)
    await asyncio.to_thread(gateway.stop)
    gateway.holds_at = None
    await asyncio.to_thread(gateway.start)
    assert await asyncio.wait_for(running, DEADLINE_SECONDS) == 0
    output = capsys.readouterr().out
    assert "trying again for 10 s" in output
    assert "the gateway answers again after" in output


async def test_without_a_gateway_it_starts_services_and_stops_them(
    gateway: "ContractGateway", request_of: Callable[..., TrainRequest], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.stop()
    stack = StandInStack(gateway)
    assert await _run(request_of(may_start_stack=True), stack.opened) == 0
    assert stack.was_stopped
    assert f"no gateway answers at {gateway.url}: starting services for this command" in capsys.readouterr().out


async def test_services_are_not_started_for_a_directory_that_is_none(
    gateway: "ContractGateway",
    request_of: Callable[..., TrainRequest],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    gateway.stop()
    missing = tmp_path / "missing"
    assert await _run(request_of(may_start_stack=True, directory=missing)) == 2
    assert f"{missing} is not a directory" in capsys.readouterr().err


async def test_keep_serving_ends_in_order_with_the_sessions_status(
    gateway: "ContractGateway",
    request_of: Callable[..., TrainRequest],
    capsys: pytest.CaptureFixture[str],
    default_signals: None,
) -> None:
    gateway.stop()
    stack = StandInStack(gateway)
    reported = asyncio.Event()

    class Reporting(StandInStack):
        async def wait(self) -> int:
            if "serving" in (text := capsys.readouterr().out):
                assert f"serving {gateway.url} until Ctrl-C" in text
                reported.set()
            return await super().wait()

    stack = Reporting(gateway)
    running = asyncio.create_task(_run(request_of(may_start_stack=True, keep_serving=True), stack.opened))
    await asyncio.wait_for(reported.wait(), DEADLINE_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, DEADLINE_SECONDS) == 0
    assert stack.was_stopped


async def test_ctrl_c_with_services_of_ones_own_says_how_the_session_goes_on(
    gateway: "ContractGateway",
    request_of: Callable[..., TrainRequest],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    default_signals: None,
) -> None:
    gateway.stop()
    gateway.holds_at = 1
    stack = StandInStack(gateway)
    running = asyncio.create_task(_run(request_of(may_start_stack=True), stack.opened))
    await _until_held(gateway)
    os.kill(os.getpid(), signal.SIGINT)
    assert await asyncio.wait_for(running, DEADLINE_SECONDS) == 130
    assert stack.was_stopped
    output = capsys.readouterr().out
    assert f"the next `triptych up` goes on with what is left: triptych up --media-root {tmp_path}" in output


async def test_services_that_stop_by_themselves_end_the_run(
    gateway: "ContractGateway", request_of: Callable[..., TrainRequest], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.stop()
    gateway.holds_at = 1
    stack = StandInStack(gateway)
    running = asyncio.create_task(_run(request_of(may_start_stack=True), stack.opened))
    await _until_held(gateway)
    stack.failure = StackError("The embedder has no weights: run `triptych models fetch`.")
    stack.ended.set()
    assert await asyncio.wait_for(running, DEADLINE_SECONDS) == 1
    assert capsys.readouterr().err == "The embedder has no weights: run `triptych models fetch`.\n"
    assert stack.was_stopped


async def test_services_that_cannot_start_are_one_sentence(
    gateway: "ContractGateway", request_of: Callable[..., TrainRequest], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.stop()

    def refuse() -> AbstractAsyncContextManager[RunningStack]:
        raise StackError("cluster died 5 times while starting. Last: Traceback\n  \x1b[31mError")

    assert await _run(request_of(may_start_stack=True), refuse) == 1
    assert capsys.readouterr().err == ("cluster died 5 times while starting. Last: Traceback\n  \\x1b[31mError\n")
