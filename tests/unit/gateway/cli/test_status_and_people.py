"""`triptych status` and `triptych people` as they are typed."""

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner, Result

from triptych_gateway.cli.people import people
from triptych_gateway.cli.rest.following import FollowingOptions
from triptych_gateway.cli.status import status, watch_sessions

if TYPE_CHECKING:
    from tests.unit.gateway.cli.conftest import ContractGateway

application = typer.Typer()
application.command()(status)
application.command()(people)


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(application, arguments, env={"COLUMNS": "120"}, catch_exceptions=False)


def test_sessions_come_as_a_table_with_progress(gateway: "ContractGateway") -> None:
    hostile = gateway.session_object(id=6, name="a\x1b[2Jb", status="completed", failedImages=0)
    gateway.sessions = [gateway.session_object(), hostile]
    gateway._position = 2
    result = _invoke("status", "--url", gateway.url)
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()[1:]
    assert first.split()[:4] == ["7", "holiday", "running", "62.5"]
    assert "😊 Face Detection – Analyzing Faces, about 30 s left" in first
    assert r"a\x1b[2Jb" in second
    assert "100 %" in second


def test_no_session_yet_says_how_to_begin(gateway: "ContractGateway") -> None:
    gateway.sessions = []
    assert "`triptych train DIRECTORY` begins one" in _invoke("status", "--url", gateway.url).stdout


def test_older_sessions_are_counted(gateway: "ContractGateway") -> None:
    gateway.sessions = [gateway.session_object(id=number, status="completed") for number in range(30)]
    assert "… and 10 older" in _invoke("status", "--url", gateway.url).stdout


def test_one_session_shows_its_phases(gateway: "ContractGateway") -> None:
    result = _invoke("status", "7", "--url", gateway.url)
    assert result.exit_code == 0
    assert "Session 7 · holiday" in result.stdout
    assert "Clustering" in result.stdout


def test_watching_one_session_ends_with_it(gateway: "ContractGateway") -> None:
    result = _invoke("status", "7", "--watch", "--url", gateway.url)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == " 100 %  ✓ All Phases Complete"


def test_watching_a_session_that_fails_exits_with_1(gateway: "ContractGateway") -> None:
    gateway.play_failure()
    assert _invoke("status", "7", "--watch", "--url", gateway.url).exit_code == 1


def test_watching_all_ends_when_none_is_under_way(gateway: "ContractGateway") -> None:
    gateway.sessions = [gateway.session_object(status="completed")]
    result = _invoke("status", "--watch", "--url", gateway.url)
    assert result.exit_code == 0
    assert result.stdout.count("holiday") == 1


def test_watching_all_shows_each_change_from_the_stream_and_ends_with_the_last(gateway: "ContractGateway") -> None:
    result = _invoke("status", "--watch", "--url", gateway.url)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Session 7 · holiday   9.0 %  🎨 Training – Generating Embeddings: 30 of 100 photos")
    assert lines[2] == "Session 7 · holiday   100 %  ✓ All Phases Complete"
    assert lines[-1].split()[:4] == ["7", "holiday", "completed", "100"]
    assert gateway.last_event_ids == ["0"]
    assert gateway.requests.count(("GET", "/api/v1/training/sessions/7/progress-unified")) == 1


def test_watching_all_takes_a_broken_stream_up_where_it_stopped(gateway: "ContractGateway") -> None:
    gateway.breaks_stream_after = 1
    result = _invoke("status", "--watch", "--url", gateway.url)
    assert result.exit_code == 0
    assert gateway.last_event_ids == ["0", "1"]
    assert "the gateway answers again after" in result.stderr


def test_watching_all_shows_a_session_that_began_meanwhile(gateway: "ContractGateway") -> None:
    gateway.begins_later = gateway.session_object(id=8, name="birthday")
    result = _invoke("status", "--watch", "--url", gateway.url)
    assert result.exit_code == 0
    assert "birthday" in result.stdout


def test_watching_all_asks_where_there_is_no_stream(
    gateway: "ContractGateway", capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.offers_stream = False
    assert asyncio.run(watch_sessions(gateway.url, FollowingOptions(poll_interval_seconds=0.02))) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[:4] == ["7", "holiday", "completed", "100"]


def test_an_unknown_session_is_one_sentence(gateway: "ContractGateway") -> None:
    result = _invoke("status", "9", "--url", gateway.url)
    assert (result.exit_code, result.stderr) == (1, "There is no session 9\n")


def test_a_wrong_address_is_a_usage_error() -> None:
    result = _invoke("status", "--url", "localhost")
    assert result.exit_code == 2
    assert "is not an address of a gateway" in result.stderr


def test_groups_come_largest_first_with_examples_within_the_session(gateway: "ContractGateway") -> None:
    gateway.groups.reverse()
    result = _invoke("people", "7", "--url", gateway.url)
    lines = [line.split() for line in result.stdout.splitlines()[1:]]
    assert lines[0] == ["1", "1", "9", "0.90", "/photos/people/1.jpg".removeprefix("/photos/")]
    assert [line[2] for line in lines] == ["9", "8", "7", "6", "5"]


def test_groups_as_json_are_all_there(gateway: "ContractGateway") -> None:
    gateway.groups = [gateway.groups[0] | {"id": number} for number in range(205)]
    result = _invoke("people", "7", "--json", "--url", gateway.url)
    answer = json.loads(result.stdout)
    assert len(answer["groups"]) == 205
    assert answer["groups"][0] == {
        "id": 0,
        "faces": 9,
        "cohesion": 0.9,
        "person_id": 1,
        "model": "dlib",
        "examples": [{"face_id": 1, "asset_id": 2, "path": "/photos/people/1.jpg", "score": 0.8}],
    }


@pytest.mark.parametrize("arguments", [["people", "7"], ["status"], ["status", "7", "--watch"]])
def test_an_absent_gateway_is_one_sentence(gateway: "ContractGateway", arguments: list[str]) -> None:
    gateway.stop()
    result = _invoke(*arguments, "--url", gateway.url)
    assert result.exit_code == 1
    assert result.stderr == f"no gateway answers at {gateway.url}: start one with `triptych up`\n"
