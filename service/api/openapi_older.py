"""The OpenAPI document of version 3.1 in version 3.0, whose schemas are an older form of JSON Schema."""

from collections.abc import Mapping
from typing import Any, Final

DROPPED: Final = frozenset({"contentMediaType", "contentEncoding", "$schema", "const", "prefixItems", "examples"})
NULL: Final = {"type": "null"}
BOUNDS: Final = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
NAMES: Final = frozenset({"properties", "schemas", "responses", "patternProperties"})
"""Members whose keys are names rather than words of the schema."""

KEPT: Final = frozenset({"default", "enum", "example", "examples", "required"})
"""Members that hold values, whatever words these have."""


def openapi_30(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document of OpenAPI 3.1 as one of 3.0: the same operations, and schemas that allow the same."""
    info = {name: value for name, value in document["info"].items() if name != "summary"}
    found = {name: _older(value) for name, value in document.items() if name != "webhooks"}
    return {**found, "openapi": "3.0.3", "info": info}


def _older(node: Any, *, names: bool = False) -> Any:
    """Return a part of the document; of a mapping by `names` only the values are converted."""
    if isinstance(node, list):
        return [_older(each) for each in node]
    if not isinstance(node, Mapping):
        return node
    if names:
        return {name: _older(value) for name, value in node.items()}
    if _is_schema(node):
        return _schema(node)
    return {name: value if name in KEPT else _older(value, names=name in NAMES) for name, value in node.items()}


def _is_schema(node: Mapping[str, Any]) -> bool:
    return (
        any(word in node for word in ("type", "anyOf", "allOf", "oneOf", "$ref", "const", "enum")) and "in" not in node
    )


def _schema(node: Mapping[str, Any]) -> dict[str, Any]:
    made = {
        name: value if name in KEPT else _older(value, names=name in NAMES)
        for name, value in node.items()
        if name not in DROPPED
    }
    if "const" in node:
        made["enum"] = [node["const"]]
    if isinstance(node.get("examples"), list) and node["examples"]:
        made.setdefault("example", node["examples"][0])
    if "prefixItems" in node:
        made["items"] = {"anyOf": [_older(each) for each in node["prefixItems"]]}
    for exclusive, bound in BOUNDS.items():
        if isinstance(node.get(exclusive), int | float) and not isinstance(node.get(exclusive), bool):
            made[bound], made[exclusive] = node[exclusive], True
    if node.get("contentMediaType") == "application/octet-stream":
        made["format"] = "binary"
    made = _with_null(made)
    if "$ref" in made and len(made) > 1:  # in version 3.0 nothing stands next to a reference
        made = {**_without(made, "$ref"), "allOf": [{"$ref": made["$ref"]}]}
    return made


def _with_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that allows null by `nullable`, as version 3.0 does."""
    kinds = schema.get("type")
    if isinstance(kinds, list):
        others = [kind for kind in kinds if kind != "null"]
        schema = {**schema, "type": others[0]} if len(others) == 1 else _without(schema, "type")
        return {**schema, "nullable": True} if "null" in kinds else schema
    if kinds == "null":
        return {**_without(schema, "type"), "nullable": True}
    for word in ("anyOf", "oneOf"):
        choices = schema.get(word, [])
        if {"nullable": True} in choices:
            others = [choice for choice in choices if choice != {"nullable": True}]
            rest = _without(schema, word)
            if len(others) == 1 and "$ref" not in others[0]:
                return {**others[0], **rest, "nullable": True}
            key, members = ("allOf", others) if len(others) == 1 else (word, others)
            return {**rest, key: members, "nullable": True}
    return schema


def _without(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != name}
