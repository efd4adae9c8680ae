# SPDX-License-Identifier: Apache-2.0
"""Sections that must not sleep: ``non_block_start()`` and ``non_block_end()``.

The OOM reaper must make progress without waiting for any task that may wait for memory. It takes the
start and end callbacks of its invalidations inside such a section, and every sleeping lock taken
there is a bug (``__might_resched()``, Linux commit 312364f3534c "kernel.h: Add non_block_start/end()").
"""

from __future__ import annotations

from quiesce.protocol import atomic, current


@atomic(label="non_block_start")
def non_block_start() -> None:
    """From here on the running task must not sleep."""
    current().non_block_count += 1


@atomic(label="non_block_end")
def non_block_end() -> None:
    """End the innermost such section."""
    assert current().non_block_count > 0, "non_block_end() without non_block_start()"
    current().non_block_count -= 1
