# SPDX-License-Identifier: Apache-2.0
"""Which threads are alike, and what the kernel needs to exchange them."""

from __future__ import annotations

import numpy as np

from quiesce.explorer.native.tables import Compiled, Symmetry


def no_symmetry(compiled: Compiled) -> Symmetry:
    """Return the symmetry that leaves every state as it is."""
    empty = np.zeros(1, np.int64)
    sizes = np.array([1, len(compiled.program.threads), 0, 0, 0, 0, 0, 0], np.int64)
    return Symmetry(sizes, *[empty] * 7)
