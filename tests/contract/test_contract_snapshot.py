"""Nothing that was promised is taken back; and the judge of it knows a break from an addition."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tools.contract_snapshot import SNAPSHOT, breaks, snapshot
from tools.openapi import openapi_document

Json = dict[str, Any]

DOCUMENT: Json = {
    "paths": {
        "/things/{thing_id}": {
            "post": {
                "parameters": [
                    {"name": "thing_id", "in": "path", "required": True, "schema": {"type": "integer"}},
                    {"name": "kind", "in": "query", "schema": {"enum": ["a", "b"], "type": "string"}},
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Wish"}}},
                },
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
                    "204": {"description": "Nothing."},
                    "404": {"content": {"application/json": {"schema": {"type": "object"}}}},
                },
            }
        },
        "/things": {"get": {"responses": {"204": {"description": "Nothing."}}}},
    },
    "components": {
        "schemas": {
            "Wish": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string"},
                    "size": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                },
            },
            "Thing": {
                "type": "object",
                "required": ["id", "status", "parts", "note"],
                "properties": {
                    "id": {"type": "integer"},
                    "status": {"enum": ["new", "old"], "type": "string"},
                    "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
                },
            },
            "Part": {"type": "object", "required": ["weight"], "properties": {"weight": {"type": "number"}}},
        }
    },
}


def field(document: Json, schema: str, name: str) -> Json:
    found: Json = document["components"]["schemas"][schema]["properties"][name]
    return found


def operation(document: Json) -> Json:
    found: Json = document["paths"]["/things/{thing_id}"]["post"]
    return found


def changed(change: Callable[[Json], Any]) -> list[str]:
    """What a change of the document breaks."""
    after = copy.deepcopy(DOCUMENT)
    change(after)
    return breaks(snapshot(DOCUMENT), snapshot(after))


def schemas(document: Json) -> Json:
    found: Json = document["components"]["schemas"]
    return found


def rename_the_path_parameter(document: Json) -> None:
    paths = document["paths"]
    paths["/things/{id}"] = paths.pop("/things/{thing_id}")
    paths["/things/{id}"]["post"]["parameters"][0]["name"] = "id"


BREAKING: dict[str, tuple[Callable[[Json], Any], str]] = {
    "an operation goes": (lambda d: d["paths"].pop("/things"), "GET /things: is gone"),
    "a good answer goes": (lambda d: operation(d)["responses"].pop("204"), "204 : is no longer answered"),
    "a field of an answer goes": (lambda d: schemas(d)["Thing"]["properties"].pop("note"), "note is gone"),
    "a field deep in an answer goes": (
        lambda d: schemas(d)["Part"]["properties"].pop("weight"),
        "parts[].weight is gone",
    ),
    "a field becomes text": (
        lambda d: field(d, "Thing", "id").update(type="string"),
        "id was integer, is string: integer is gone",
    ),
    "a field becomes null at times": (
        lambda d: schemas(d)["Part"]["properties"].update(weight={"anyOf": [{"type": "number"}, {"type": "null"}]}),
        "parts[].weight was number, is null | number",
    ),
    "a field may be missing": (lambda d: schemas(d)["Thing"]["required"].remove("id"), "id may now be missing"),
    "a word of an answer goes": (lambda d: field(d, "Thing", "status").update(enum=["new"]), '"old" is gone'),
    "a parameter goes": (lambda d: operation(d)["parameters"].pop(), "query kind is no longer taken"),
    "a parameter takes fewer words": (
        lambda d: operation(d)["parameters"][1]["schema"].update(enum=["a"]),
        'query kind no longer takes "b"',
    ),
    "a parameter must be given": (
        lambda d: operation(d)["parameters"][1].update(required=True),
        "query kind must now be given",
    ),
    "a request field goes": (lambda d: schemas(d)["Wish"]["properties"].pop("size"), "size is no longer taken"),
    "a request field must be given": (
        lambda d: schemas(d)["Wish"]["required"].append("size"),
        "application/json size must now be given",
    ),
    "a request field takes no null": (
        lambda d: schemas(d)["Wish"]["properties"].update(size={"type": "integer"}),
        "application/json size no longer takes null",
    ),
    "a body must be given where there was none": (
        lambda d: d["paths"]["/things"]["get"].update(requestBody=operation(d)["requestBody"]),
        "application/json is new and must be given",
    ),
    "a new request field must be given": (
        lambda d: schemas(d)["Wish"].update(
            required=["name", "colour"], properties=schemas(d)["Wish"]["properties"] | {"colour": {"type": "string"}}
        ),
        "application/json colour is new and must be given",
    ),
}
HARMLESS: dict[str, Callable[[Json], Any]] = {
    "nothing": lambda _: None,
    "an operation comes": lambda d: d["paths"].update({"/more": d["paths"]["/things/{thing_id}"]}),
    "an answer gets a field": lambda d: schemas(d)["Part"]["properties"].update(size={"type": "integer"}),
    "an answer gets a word": lambda d: field(d, "Thing", "status")["enum"].append("lost"),
    "a request gets a field that may be left out": lambda d: schemas(d)["Wish"]["properties"].update(
        colour={"type": "string"}
    ),
    "a request field may be left out": lambda d: schemas(d)["Wish"]["required"].clear(),
    "a body may come in another form": lambda d: operation(d)["requestBody"]["content"].update(
        {"multipart/form-data": {"schema": {"$ref": "#/components/schemas/Wish"}}}
    ),
    "a request gets a list that may be left out": lambda d: schemas(d)["Wish"]["properties"].update(
        parts={"type": "array", "items": {"$ref": "#/components/schemas/Part"}}
    ),
    "a parameter takes more": lambda d: operation(d)["parameters"][1]["schema"]["enum"].append("c"),
    "an error is no longer answered": lambda d: operation(d)["responses"].pop("404"),
    "a path parameter has another name": rename_the_path_parameter,
    "a schema has another name": lambda d: (
        schemas(d).update(Piece=schemas(d).pop("Part")),
        field(d, "Thing", "parts").update(items={"$ref": "#/components/schemas/Piece"}),
    ),
}


@pytest.mark.parametrize("name", BREAKING)
def test_a_change_that_breaks_clients_is_told(name: str) -> None:
    change, sentence = BREAKING[name]

    found = changed(change)

    assert len(found) == 1, found
    assert sentence in found[0]


@pytest.mark.parametrize("name", HARMLESS)
def test_a_change_that_breaks_nobody_is_none(name: str) -> None:
    assert changed(HARMLESS[name]) == []


def test_what_was_promised_is_kept() -> None:
    promised = json.loads(SNAPSHOT.read_text())

    broken = breaks(promised, snapshot(openapi_document()))

    assert not broken, "the contract is broken (to do so on purpose: make contract-snapshot):\n" + "\n".join(broken)


def test_everything_that_is_there_is_promised() -> None:
    promised = json.loads(SNAPSHOT.read_text())

    assert promised == snapshot(openapi_document()), "something was added: make contract-snapshot"
