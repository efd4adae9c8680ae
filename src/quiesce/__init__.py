# SPDX-License-Identifier: Apache-2.0
"""quiesce runs, proves and explains locking protocols."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from quiesce.explain.log import Explained

    def explain(text: str) -> tuple[Explained, ...]:
        """See :mod:`quiesce.explain`."""
else:
    from quiesce import explain as explain  # the package, which can be called
