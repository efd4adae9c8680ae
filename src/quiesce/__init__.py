# SPDX-License-Identifier: Apache-2.0
"""quiesce runs, proves and explains locking protocols.

Nothing is imported here: a program starts with this file, and Ctrl-C is not taken care of before its end.
"""

from __future__ import annotations

__version__ = "0.1.0"

_TESTING = ("check", "replay")
"""What :mod:`quiesce.testing` defines."""


def __getattr__(name: str) -> object:
    """Import what is asked for: the package ``explain``, which can be called, ``check`` and ``replay``."""
    from importlib import import_module

    if name in _TESTING:
        return getattr(import_module("quiesce.testing"), name)
    if name != "explain":
        raise AttributeError(f"module 'quiesce' has no attribute {name!r}")
    return import_module("quiesce.explain")
