"""docs/api-contract.md: the OpenAPI document as a page to read."""

import json
from collections.abc import Iterator
from typing import Any, Final

from tools.schema_words import type_in_words
from triptych_gateway.api.document import operations
from triptych_gateway.api.errors import CATALOGUE, CODES_KEY

Json = dict[str, Any]

_HEAD: Final = """# REST contract

<!-- Written by `make docs` from docs/openapi.json, which is written from the endpoints' code. -->

"""
_COMPATIBLE: Final = """A key is never removed and never gets another type; `tests/contract/contract-snapshot.json`
holds what was promised."""


def contract_page(document: Json) -> str:
    """The whole page."""
    parts = [_HEAD + document["info"]["description"] + "\n\n" + _COMPATIBLE + "\n"]
    parts += ["## Errors\n", _table(("code", "status", "meaning"), _errors())]
    for tag in document["tags"]:
        parts.append(f"## {tag['name'].capitalize()}\n\n{tag['description']}\n")
        for path, method, operation in operations(document):
            if tag["name"] in operation["tags"]:
                parts.append(_operation(path, method, operation))
    parts.append("## Bodies\n\nA key is always present in an answer; in a request one without a default must be.\n")
    parts += [_body(name, schema) for name, schema in sorted(document["components"]["schemas"].items())]
    return "\n".join(parts)


def _errors() -> Iterator[tuple[str, ...]]:
    for code, kind in CATALOGUE.items():
        yield f"`{code}`", str(kind.status), kind.meaning


def _operation(path: str, method: str, operation: Json) -> str:
    lines = [f"### {method.upper()} {path}\n", operation["description"] + "\n"]
    if parameters := operation.get("parameters"):
        rows = [
            (f"`{one['name']}`", one["in"], type_in_words(one["schema"]), _default(one), one.get("description", ""))
            for one in parameters
        ]
        lines.append(_table(("parameter", "in", "type", "default", "meaning"), rows))
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        lines.append(f"Body ({media_type}): {type_in_words(content['schema'])}\n")
    good = {status: one for status, one in operation["responses"].items() if CODES_KEY not in one}
    lines += [f"- `{status}` {_answer(one)}" for status, one in good.items()]
    errors = [(code, status) for status, one in operation["responses"].items() for code in one.get(CODES_KEY, ())]
    if errors:
        lines.append("- Errors: " + ", ".join(f"{status} `{code}`" for code, status in errors))
    return "\n".join(lines) + "\n"


def _default(parameter: Json) -> str:
    if parameter.get("required"):
        return "required"
    default = parameter["schema"].get("default")
    return "" if default is None else f"`{json.dumps(default)}`"


def _answer(answer: Json) -> str:
    kinds = [
        type_in_words(content["schema"]) if media_type == "application/json" else media_type
        for media_type, content in answer.get("content", {}).items()
    ]
    return ": ".join([", ".join(kinds), answer["description"]] if kinds else [answer["description"]])


def _body(name: str, schema: Json) -> str:
    lines = [f"### {name}\n"]
    if description := schema.get("description"):
        lines.append(description + "\n")
    if "properties" not in schema:
        if name != "ErrorCode":
            lines.append(type_in_words(schema) + "\n")
        return "\n".join(lines)
    required = schema.get("required", ())
    rows = [
        (f"`{key}`", type_in_words(field), "" if key in required else _field_default(field), _meaning(field))
        for key, field in schema["properties"].items()
    ]
    lines.append(_table(("key", "type", "default", "meaning"), rows))
    return "\n".join(lines)


def _field_default(field: Json) -> str:
    return f"`{json.dumps(field['default'])}`" if "default" in field else "not needed"


def _meaning(field: Json) -> str:
    return " ".join(field.get("description", "").split())


def _table(heads: tuple[str, ...], rows: Any) -> str:
    """A table, without columns in which nothing stands."""
    filled = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    kept = [index for index in range(len(heads)) if index == 0 or any(row[index] for row in filled)]
    lines = [[heads[index] for index in kept], ["---"] * len(kept), *([row[index] for index in kept] for row in filled)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
