"""What the REST contract has promised, in a compact form, and what a change of it breaks.

python -m tools.contract_snapshot writes tests/contract/contract-snapshot.json: what is there now becomes the promise.

A snapshot has for each operation its parameters and request fields, and for each answer its fields by their paths
(``items[].id``), with their types: ``integer | null``, ``"a" | "b"`` for words, and ``optional`` before it where the
field may be left out.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tools.openapi import openapi_document
from triptych_gateway.api.document import operations

Json = dict[str, Any]
Fields = Mapping[str, str]

SNAPSHOT: Final = Path(__file__).parent.parent / "tests" / "contract" / "contract-snapshot.json"
_OPTIONAL: Final = "optional "
_OR: Final = " | "


def snapshot(document: Json) -> Json:
    """The compact form of an OpenAPI document."""
    found: Json = {}
    for path, method, operation in operations(document):
        # How a parameter in the path is called is nobody's business but ours.
        name = f"{method.upper()} {re.sub('{[^}]*}', '{}', path)}"
        request = {
            (f"{one['in']} {one['name']}" if one["in"] != "path" else "path"): _type(
                one["schema"], document, optional=not one.get("required", False)
            )
            for one in operation.get("parameters", ())
        }
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            needed = operation["requestBody"].get("required", False)
            fields = _fields(content["schema"], document, optional=not needed)
            request |= {f"{media_type} {at}": kind for at, kind in fields}
        answers = {
            f"{status} {media_type}": dict(_fields(content["schema"], document))
            for status, answer in operation["responses"].items()
            for media_type, content in (answer.get("content") or {"": {"schema": {}}}).items()
        }
        found[name] = {"request": request, "answers": answers}
    return found


def breaks(promised: Json, present: Json) -> list[str]:
    """What a client of the promised contract would miss in the present one, one sentence each; additions are none."""
    found: list[str] = []
    for name, operation in promised.items():
        if name not in present:
            found.append(f"{name}: is gone")
            continue
        found += [f"{name}: {one}" for one in _broken_request(operation["request"], present[name]["request"])]
        for answer, fields in operation["answers"].items():
            if answer in present[name]["answers"]:
                now = present[name]["answers"][answer]
                found += [f"{name} → {answer}: {one}" for one in _broken_answer(fields, now)]
            elif answer < "400":
                # An error that no longer happens is missed by nobody.
                found.append(f"{name} → {answer}: is no longer answered")
    return found


def _broken_request(promised: Fields, present: Fields) -> Iterator[str]:
    for at, kind in promised.items():
        if at not in present:
            yield f"{at} is no longer taken"
            continue
        if _is_optional(kind) and not _is_optional(present[at]):
            yield f"{at} must now be given"
        if lost := _alternatives(kind) - _alternatives(present[at]):
            yield f"{at} no longer takes {', '.join(sorted(lost))}"
    new = sorted(present.keys() - promised.keys())
    had_body = any(_media_type(at) for at in promised)
    for at in new:
        if _is_optional(present[at]) or any(_is_inside(at, other) for other in new):
            continue
        # A body may come in one more form.
        if not (had_body and f"{_media_type(at)} " in new):
            yield f"{at.strip()} is new and must be given"


def _media_type(at: str) -> str:
    """Of a field of a body; empty for a parameter."""
    first = at.partition(" ")[0]
    return first if "/" in first else ""


def _is_inside(at: str, other: str) -> bool:
    return at.startswith((f"{other}.", f"{other}[", f"{other}{{")) or (
        other.endswith(" ") and at != other and other in at
    )


def _broken_answer(promised: Fields, present: Fields) -> Iterator[str]:
    for at, kind in promised.items():
        if at not in present:
            yield f"{at or 'the body'} is gone"
            continue
        if _is_optional(present[at]) and not _is_optional(kind):
            yield f"{at} may now be missing"
        before, after = _alternatives(kind), _alternatives(present[at])
        # A further word is an addition; a further type is another type.
        if lost := before - after:
            yield f"{at or 'the body'} was {_shown(before)}, is {_shown(after)}: {', '.join(sorted(lost))} is gone"
        elif any(not one.startswith('"') for one in after - before):
            yield f"{at or 'the body'} was {_shown(before)}, is {_shown(after)}"


def _fields(schema: Json, document: Json, at: str = "", *, optional: bool = False) -> Iterator[tuple[str, str]]:
    """Every path of a body and what stands there."""
    yield at, _type(schema, document, optional=optional)
    for one in _resolved(schema, document):
        for key, field in one.get("properties", {}).items():
            left_out = key not in one.get("required", ())
            yield from _fields(field, document, f"{at}.{key}" if at else key, optional=left_out)
        if isinstance(one.get("additionalProperties"), dict):
            yield from _fields(one["additionalProperties"], document, f"{at}{{}}")
        if "items" in one:
            yield from _fields(one["items"], document, f"{at}[]")


def _type(schema: Json, document: Json, *, optional: bool = False) -> str:
    kinds: set[str] = set()
    for one in _resolved(schema, document):
        words = one.get("enum", [one["const"]] if "const" in one else [])
        kinds |= {json.dumps(word) for word in words} or {one.get("type", "anything")}
    return (_OPTIONAL if optional else "") + _shown(kinds)


def _resolved(schema: Json, document: Json) -> Iterator[Json]:
    """The schemas of which a value has one."""
    if "$ref" in schema:
        yield from _resolved(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    elif "anyOf" in schema or "oneOf" in schema:
        for one in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
            yield from _resolved(one, document)
    else:
        yield schema


def _is_optional(kind: str) -> bool:
    return kind.startswith(_OPTIONAL)


def _alternatives(kind: str) -> set[str]:
    return set(kind.removeprefix(_OPTIONAL).split(_OR))


def _shown(kinds: set[str]) -> str:
    return _OR.join(sorted(kinds))


def main() -> None:
    """Write the snapshot."""
    SNAPSHOT.write_text(json.dumps(snapshot(openapi_document()), indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
