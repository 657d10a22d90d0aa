"""Ids of a request and of a run go along with calls and into logs, and nothing else does."""

import pytest
import structlog

from triptych_common.correlation import caller_ids, correlated, correlation_metadata, is_id


def test_what_is_bound_goes_with_a_call_and_is_read_on_the_other_side() -> None:
    with correlated(request_id="a-1"), correlated(session=7, phase="training", run=2, shard=0):
        metadata = correlation_metadata()
        assert structlog.contextvars.get_contextvars()["session"] == 7

    ids = {"request_id": "a-1", "session": "7", "phase": "training", "run": "2", "shard": "0"}
    assert caller_ids(metadata) == ids
    assert correlation_metadata() == ()
    assert structlog.contextvars.get_contextvars() == {}


def test_what_else_is_bound_does_not_leave_the_process() -> None:
    with structlog.contextvars.bound_contextvars(path="/photos/a.jpg"), correlated(session=1):
        assert correlation_metadata() == (("triptych-session", "1"),)


def test_only_ids_are_taken_from_a_caller() -> None:
    assert caller_ids(None) == {}
    assert caller_ids([("triptych-session", "1\nforged line"), ("triptych-run", "2"), ("other", "3")]) == {"run": "2"}


def test_other_names_are_refused() -> None:
    with pytest.raises(ValueError, match="path"), correlated(path="x"):
        pass


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("support-case.7", True), ("00-4bf9", True), ("", False), ("two words", False), ("x" * 129, False), ("ä", False)],
)
def test_an_id_may_stand_in_a_log_and_a_header_as_it_is(text: str, verdict: bool) -> None:
    assert is_id(text) is verdict
