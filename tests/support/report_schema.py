# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema that quiesce ships, for the tests: every command's ``--json`` must be valid against it."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema

SCHEMA: dict[str, Any] = json.loads(
    files("quiesce.report").joinpath("schema.json").read_text(encoding="utf-8")
)
DEFINITIONS: dict[str, Any] = SCHEMA["$defs"]
COMMANDS = [entry["$ref"].rpartition("/")[2] for entry in SCHEMA["anyOf"]]
"""The definitions of what a command prints."""

LOCKDEP_KINDS = {
    one["properties"]["kind"]["const"]: one["properties"] for one in DEFINITIONS["lockdep"]["oneOf"]
}
"""For each kind of lockdep report, its own keys."""


@cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    """Return what validates against the definition *name*."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": DEFINITIONS})


def problems(value: Any, name: str) -> list[str]:
    """Return what is wrong with *value*, which should be as the definition *name* says."""
    return [f"{error.json_path}: {error.message}" for error in validator(name).iter_errors(value)]


def keys_of(name: str) -> set[str]:
    """Return every key that the definition *name* has, at any depth."""
    return _keys(DEFINITIONS[name], {name})


def _keys(part: Any, seen: set[str]) -> set[str]:
    if isinstance(part, list):
        return set().union(*(_keys(one, seen) for one in part))
    if not isinstance(part, dict):
        return set()
    found = set(part.get("properties", {}))
    for key, inner in part.items():
        if key == "$ref":
            name = inner.rpartition("/")[2]
            if name not in seen:
                seen.add(name)
                found |= _keys(DEFINITIONS[name], seen)
        elif key == "properties":
            found |= _keys(list(inner.values()), seen)
        else:
            found |= _keys(inner, seen)
    return found
