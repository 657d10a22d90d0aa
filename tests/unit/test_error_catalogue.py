"""Every code that the code answers with is in a catalogue, with what it means and what to do; and none else is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.document import DOCS
from tools.errors_page import EXIT_STATUSES, errors_page
from triptych_common.error_reasons import REASONS
from triptych_common.media.failures import FAILURES
from triptych_gateway.api.errors import CATALOGUE
from triptych_gateway.pipeline.errors import PHASE_FAILURES, PROBLEMS

ROOT = DOCS.parent
SOURCES = [path for part in ("common", "gateway", "services") for path in sorted((ROOT / part).rglob("src/**/*.py"))]
SERVICE_ERRORS = {
    "InvalidRequestError",
    "PreconditionError",
    "MissingError",
    "OverloadedError",
    "AwayError",
    "RemoteError",
}
PASSED_ON = {
    ("triptych_common/media/decoders/messages.py", "photo"),
    ("triptych_common/photos/batches.py", "reason"),
    ("triptych_common/rpc/status.py", "reason"),
    ("triptych_gateway/api/translation/sessions.py", "problem"),
    ("triptych_gateway/catalog/library/photos.py", "problem"),
    ("triptych_gateway/pipeline/discovery/listing.py", "problem"),
    ("triptych_gateway/pipeline/photos/shard_work.py", "reason"),
}
"""Modules that pass on a code that another has made."""


def constants(tree: ast.Module) -> dict[str, str]:
    """The module's own names of strings."""
    named = {}
    for node in tree.body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Constant):
            named[target.id] = str(node.value.value)
    return named


def codes(path: Path) -> Iterator[tuple[str, str]]:
    """Kind and code of every error that a module makes; code "" where it stands in no string of the module."""
    tree = ast.parse(path.read_text())
    named = constants(tree)

    def told(value: ast.expr | None) -> str:
        if isinstance(value, ast.Name):
            return named.get(value.id, "")
        return str(value.value) if isinstance(value, ast.Constant) else ""

    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        words = {word.arg: word.value for word in node.keywords}
        if name in SERVICE_ERRORS and ("reason" in words or name != "RemoteError"):
            yield "reason", told(words.get("reason"))
        elif ast.unparse(node.func) == "self._refusal":
            yield "reason", told(node.args[1])
        elif name == "PhaseFailedError":
            yield "phase", told(node.args[0])
        elif name == "ApiError":
            yield "rest", told(node.args[0])
        elif name == "ImageFailure":
            yield "photo", told(node.args[0])
        elif name == "Problem" and "code" in words:
            yield "problem", told(words["code"])


FOUND = {(str(path.relative_to(ROOT)), *found) for path in SOURCES for found in codes(path)}


def raised(kind: str) -> set[str]:
    return {code for _, of, code in FOUND if of == kind and code}


def test_every_reason_of_a_service_is_in_the_catalogue_and_used() -> None:
    assert raised("reason") == REASONS.keys()


def test_every_code_of_a_phase_that_failed_is_in_the_catalogue_and_used() -> None:
    assert raised("phase") == PHASE_FAILURES.keys()


def test_every_code_of_an_answer_is_in_the_catalogue() -> None:
    assert len(raised("rest")) > 10
    assert raised("rest") <= CATALOGUE.keys()


def test_every_code_of_a_photo_or_of_what_is_not_read_is_in_the_catalogue() -> None:
    # That the worker was lost is found by the gateway, of a photo that it gives up.
    assert raised("photo") <= FAILURES.keys()
    assert raised("problem") <= {*FAILURES, *PROBLEMS}
    assert raised("problem") >= PROBLEMS.keys()


def test_codes_that_stand_in_no_string_are_where_they_are_passed_on() -> None:
    passed_on = {(path.partition("/src/")[2], kind) for path, kind, code in FOUND if not code}
    assert passed_on == PASSED_ON


@pytest.mark.parametrize("catalogue", [CATALOGUE, REASONS, FAILURES, PHASE_FAILURES, PROBLEMS, EXIT_STATUSES])
def test_every_code_has_a_sentence_and_what_to_do(catalogue: dict[str, object]) -> None:
    for code, explanation in catalogue.items():
        for text in (getattr(explanation, "meaning"), getattr(explanation, "remedy")):  # noqa: B009 - of two classes
            assert re.fullmatch(r"[A-Z`].{5,}\.", text), (code, text)


def test_settings_and_commands_that_a_remedy_names_exist() -> None:
    page, operations = errors_page(), (DOCS / "operations.md").read_text()
    settings = set(re.findall(r"TRIPTYCH_[A-Z_]+\b(?!…)", page)) - {"TRIPTYCH_"}
    assert settings
    assert {name for name in settings if f"`{name}`" not in operations} == set()
