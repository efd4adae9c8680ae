# SPDX-License-Identifier: Apache-2.0
"""One file for each kind of report: how it is recognized, what only it prints, what may be missing."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules


@cache
def load_kinds() -> None:
    """Import every file of this folder, each of which registers its kinds."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
