# SPDX-License-Identifier: Apache-2.0
"""A document's data as one JSON object: see ``docs/json.md``."""

from __future__ import annotations

from quiesce.harmless import json_text
from quiesce.report.document import Document
from quiesce.report.style import PLAIN, Style


def write(document: Document, _style: Style = PLAIN) -> str:
    """Return the data of *document*."""
    return json_text(document.data(), document.indent) + "\n"
