"""Schemas of the OpenAPI document in words, as tables have them."""

from typing import Any

Json = dict[str, Any]


def type_in_words(schema: Json) -> str:
    """What a value may be: ``integer, 1 to 100``, ``array of [Job](#job)``, ``string or null``."""
    if "$ref" in schema:
        return link(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_in_words(one) for one in schema["anyOf"]))
    words = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return ", ".join(f"`{one}`" for one in words) or _plain_type(schema)


def _plain_type(schema: Json) -> str:
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"array of {type_in_words(schema.get('items', {}))}{_bounds(schema, 'Items', ' items')}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {type_in_words(schema['additionalProperties'])}"
    if kind == "string":
        form = {"date-time": "time", "binary": "bytes"}.get(schema.get("format", ""), "string")
        return f"{form}{_bounds(schema, 'Length', ' characters')}"
    return f"{kind}{_bounds(schema, 'imum', '')}"


def link(name: str) -> str:
    """A link to a schema's own section."""
    return f"[{name}](#{name.lower()})"


def _bounds(schema: Json, of: str, unit: str) -> str:
    least, most = schema.get(f"min{of}"), schema.get(f"max{of}")
    if least is None and most is None:
        return ""
    parts = [_number(one) for one in (least, most) if one is not None]
    word = "from " if most is None else "to " if least is None else ""
    return f", {word}{' to '.join(parts)}{unit}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)
