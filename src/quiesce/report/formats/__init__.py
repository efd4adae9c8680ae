# SPDX-License-Identifier: Apache-2.0
"""The forms that a document can have. A format is one module here, named as ``--format`` names it.

It has a function ``write(document, style)`` that returns the text. ``STARTS_LINES = True`` says that its text
can follow the text of another format on the same stream. Nothing else has to be changed to add one.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    # Not at run time: every command has a parser that lists the formats, and few of them a document.
    from quiesce.report.document import Document
    from quiesce.report.style import Style


class Format(Protocol):
    """What a module of this package provides."""

    def write(self, document: Document, style: Style) -> str:
        """Return *document* in this form, ending in a newline; empty if there is nothing to say."""


def names() -> tuple[str, ...]:
    """Return the names of all formats; no module is imported for that."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def write(document: Document, name: str, style: Style) -> str:
    """Return *document* in the format *name*.

    :param style: how words are emphasized where the format is for a terminal.
    """
    if name in document.written:
        return document.written[name]()
    module: Format = import_module(f"{__name__}.{name}")
    return module.write(document, style)


def can_follow(name: str) -> bool:
    """Return True if the text of the format *name* can stand after that of another."""
    return bool(getattr(import_module(f"{__name__}.{name}"), "STARTS_LINES", False))
