# SPDX-License-Identifier: Apache-2.0
"""How diagnostics name a value."""

from __future__ import annotations

from quiesce.compiler.read.values import (
    Component,
    ComponentArray,
    Dynamic,
    Method,
    Static,
    Tuple,
    Value,
    VariableArray,
    VersionPlace,
)
from quiesce.compiler.types import describe


def words(value: Value) -> str:
    """Describe *value* for a diagnostic."""
    match value:
        case Dynamic(type=type_):
            return describe(type_)
        case Static(object=obj):
            return _short(obj)
        case Component(template=template):
            return f"the component {template.path or type(template).__name__}"
        case VersionPlace():
            return "a version"
        case Method(function=function):
            return f"the method {function.__name__}; call it with ()"
        case Tuple():
            return "a tuple"
        case ComponentArray():
            return "an array of components"
        case VariableArray():
            return "an array of variables"
    return "not a value"


_LONGEST_SHOWN = 40


def _short(obj: object) -> str:
    """Return *obj* for an error message: no address of an object, and not too long."""
    name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None)
    if isinstance(name, str):
        return f"`{name}`"
    if type(obj).__repr__ is object.__repr__:
        return f"an object of class {type(obj).__name__}"
    text = repr(obj)
    return text if len(text) <= _LONGEST_SHOWN else f"a {type(obj).__name__}"
