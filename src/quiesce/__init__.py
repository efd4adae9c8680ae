# SPDX-License-Identifier: Apache-2.0
"""quiesce runs, proves and explains locking protocols.

Nothing is imported here: a program starts with this file, and Ctrl-C is not taken care of before its end.
"""

from __future__ import annotations

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import the package ``explain``, which can be called, when it is asked for."""
    if name != "explain":
        raise AttributeError(f"module 'quiesce' has no attribute {name!r}")
    from importlib import import_module

    return import_module("quiesce.explain")
