# SPDX-License-Identifier: Apache-2.0
"""quiesce runs, proves and explains locking protocols.

What users import most is here: ``from quiesce import Int, Protocol, Scenario, SpinLock, always, thread``.
That is all of :mod:`quiesce.protocol` and :mod:`quiesce.primitives`, ``check``, ``replay``, ``explain``.

Nothing is imported before it is asked for: a program starts with this file, and Ctrl-C is not taken care of
before its end. Type checkers read ``__init__.pyi``, which offers the same names.
"""

from __future__ import annotations

__version__ = "0.2.0"

_TESTING = ("check", "replay")
"""What is offered of :mod:`quiesce.testing`."""


def __getattr__(name: str) -> object:
    """Import what is asked for; ``explain`` is a package, which can be called."""
    from importlib import import_module
    from importlib.machinery import PathFinder

    if name == "explain":
        return import_module("quiesce.explain")
    if name == "__all__":
        return _offered()
    if name in _TESTING:
        return _kept(name, getattr(import_module("quiesce.testing"), name))
    if not name.startswith("__") and PathFinder.find_spec(f"quiesce.{name}", __path__) is None:
        for module in map(import_module, ("quiesce.protocol", "quiesce.primitives")):
            if name in module.__all__:
                return _kept(name, getattr(module, name))
    raise AttributeError(f"module 'quiesce' has no attribute {name!r}")


def _kept(name: str, value: object) -> object:
    """Keep *value*, so that it is not asked for again."""
    globals()[name] = value
    return value


def _offered() -> list[str]:
    from quiesce import primitives, protocol

    return sorted({*protocol.__all__, *primitives.__all__, *_TESTING, "explain"})


def __dir__() -> list[str]:
    return sorted({*globals(), *_offered()})
