# SPDX-License-Identifier: Apache-2.0
"""What the decorators of the language may stand on, and what hides a method that they marked."""

from __future__ import annotations

import inspect


def require_method(word: str, method: object, help: str = "") -> None:
    """Refuse to let ``@word`` mark anything but a function.

    :raises TypeError: *method* is another object, such as what ``@property`` returns.
    """
    if not inspect.isfunction(method):
        kind = type(method).__name__
        text = f"@{word} marks a method, written with `def`; this is a {kind} object"
        raise TypeError(text + (f": {help.format(kind)}" if help else ""))


def hidden_method(value: object) -> object:
    """Return the function that a descriptor in a class hides: a property's, a class method's; or None."""
    for attribute in ("fget", "__func__", "func"):
        inner = getattr(value, attribute, None)
        if inner is not None:
            return inner
    return None
