# SPDX-License-Identifier: Apache-2.0
"""Names of files as pipelines want them: relative to the working directory, or as an address."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from quiesce.harmless import one_line


def relative(file: str) -> str:
    """Return *file* relative to the working directory if it is below it; otherwise absolute."""
    try:
        path = os.path.realpath(file)
        below = os.path.relpath(path)
    except (OSError, ValueError):
        return one_line(file)
    return one_line(path if below.startswith(os.pardir) else below).replace(os.sep, "/")


def address(file: str) -> str:
    """Return *file* as a URI reference: relative below the working directory, otherwise ``file://``."""
    name = relative(file)
    if os.path.isabs(name):
        return Path(name).as_uri()
    return quote(name)
