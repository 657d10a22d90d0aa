"""The OpenAPI document is whole: every operation with its answers, errors, bounds and examples."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from tools.openapi import openapi_document
from triptych_gateway.api.document import INTERFACE, TAGS, operations
from triptych_gateway.api.errors import CATALOGUE, CODES_KEY, errors
from triptych_gateway.api.examples import EXAMPLES

Json = dict[str, Any]

DOCUMENT = openapi_document()
SCHEMAS: Json = DOCUMENT["components"]["schemas"]
OPERATIONS = {f"{method.upper()} {path}": operation for path, method, operation in operations(DOCUMENT)}
ERROR = {"$ref": "#/components/schemas/Error"}


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def bodies(operation: Json) -> Iterator[Json]:
    """The schemas of a request's bodies."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        yield content["schema"]


def test_every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() -> None:
    assert re.fullmatch(r"3\.[12]\.\d+", DOCUMENT["openapi"])
    assert {name.removeprefix("#/components/schemas/") for name in references(DOCUMENT)} <= SCHEMAS.keys()
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_described_with_its_answers(name: str) -> None:
    operation = OPERATIONS[name]

    assert operation["description"]
    assert len(operation["tags"]) == 1
    assert operation["tags"][0] in TAGS
    good = {status: answer for status, answer in operation["responses"].items() if status < "400"}
    assert good
    for status, answer in good.items():
        assert answer["description"] != "Successful Response"
        assert bool(answer.get("content")) == (status not in ("204", "304")), f"{status} has content or is empty"
        for media_type, content in answer.get("content", {}).items():
            assert content["schema"], media_type
    for parameter in operation.get("parameters", ()):
        assert parameter["schema"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_names_exactly_the_errors_that_it_may_answer(name: str) -> None:
    operation, path = OPERATIONS[name], name.partition(" ")[2]
    by_status = {status: answer for status, answer in operation["responses"].items() if status >= "400"}

    for status, answer in by_status.items():
        assert answer["content"]["application/json"]["schema"] == ERROR
        assert answer[CODES_KEY]
        assert {str(CATALOGUE[code].status) for code in answer[CODES_KEY]} == {status}
        assert answer["content"]["application/json"]["examples"].keys() == set(answer[CODES_KEY])
    assert ("503" in by_status) == path.startswith(INTERFACE)
    assert ("422" in by_status) == bool(operation.get("parameters") or "requestBody" in operation)
    assert "404" in by_status or "{" not in path
    assert ("Retry-After" in by_status.get("503", {}).get("headers", {})) == ("503" in by_status)


def test_an_error_that_is_not_in_the_catalogue_cannot_be_declared() -> None:
    assert errors("not_found", "path_not_allowed") == {
        404: {CODES_KEY: ["not_found"]},
        400: {CODES_KEY: ["path_not_allowed"]},
    }
    with pytest.raises(KeyError):
        errors("no_such_code")


def test_every_code_is_in_the_document_with_its_meaning() -> None:
    assert SCHEMAS["ErrorCode"]["enum"] == sorted(CATALOGUE)
    for code, kind in CATALOGUE.items():
        assert f"`{code}` ({kind.status}): {kind.meaning}" in SCHEMAS["ErrorCode"]["description"]
    assert SCHEMAS["ErrorBody"]["properties"]["code"] == {"$ref": "#/components/schemas/ErrorCode"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_what_its_schema_says(name: str) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}

    jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(EXAMPLES[name])
    # Nothing in it is unknown to the schema, and nothing that is always sent is left out of it.
    assert EXAMPLES[name].keys() <= SCHEMAS[name]["properties"].keys()


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_request_that_has_an_object_as_body_has_an_example(name: str) -> None:
    for schema in bodies(OPERATIONS[name]):
        if "$ref" in schema and "multipart/form-data" not in OPERATIONS[name]["requestBody"]["content"]:
            assert SCHEMAS[schema["$ref"].rpartition("/")[2]].get("examples"), schema


def test_whole_numbers_and_sizes_of_pages_have_bounds() -> None:
    for name, operation in OPERATIONS.items():
        for parameter in operation.get("parameters", ()):
            kinds = parameter["schema"].get("anyOf", [parameter["schema"]])
            for kind in kinds:
                if kind.get("type") == "integer":
                    assert {"minimum", "maximum"} <= kind.keys(), f"{name}: {parameter['name']}"


def test_keys_of_answers_are_always_there() -> None:
    for name in ("Session", "UnifiedProgress", "Phases", "Job", "Health", "ServiceHealth", "Restart"):
        assert set(SCHEMAS[name]["required"]) == SCHEMAS[name]["properties"].keys(), name


def test_names_that_the_shipped_frontend_reads_are_described() -> None:
    assert "face_detection" in SCHEMAS["Phases"]["properties"]
    assert "cleanup_stats" in SCHEMAS["Restart"]["properties"]


def test_the_body_of_a_session_describes_its_paths_as_text() -> None:
    created = SCHEMAS["SessionCreate"]

    assert created["required"] == ["name", "rootPath"]
    assert created["properties"]["rootPath"]["type"] == "string"
    assert created["properties"]["subdirectories"]["items"]["type"] == "string"
