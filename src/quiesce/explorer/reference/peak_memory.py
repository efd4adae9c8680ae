# SPDX-License-Identifier: Apache-2.0
"""How much memory this process has taken at most."""

from __future__ import annotations

import sys


def peak_memory() -> int:
    """Return the largest resident size so far, in bytes; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # not on Windows, nor in a browser
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
