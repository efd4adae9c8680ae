# SPDX-License-Identifier: Apache-2.0
"""What ``watch()`` adds to a ``with lock:``, in microseconds; alone, and under another lock."""

from __future__ import annotations

import sys
import threading
import timeit

from quiesce.watch import watch

ROUNDS = 100_000
REPEATS = 5


def _microseconds(outer: threading.Lock, inner: threading.Lock) -> tuple[float, float]:
    """Return the time of a ``with`` statement, alone and nested in another, the best of some."""

    def alone() -> None:
        with outer:
            pass

    def nested() -> None:
        with outer, inner:
            pass

    one = min(timeit.repeat(alone, number=ROUNDS, repeat=REPEATS)) / ROUNDS
    two = min(timeit.repeat(nested, number=ROUNDS, repeat=REPEATS)) / ROUNDS
    return one * 1e6, (two - one) * 1e6


def main() -> dict[str, float]:
    """Return microseconds for each ``with lock:``."""
    plain, plain_nested = _microseconds(threading.Lock(), threading.Lock())
    with watch(quiet=True):
        outer = threading.Lock()
        inner = threading.Lock()
        watched, watched_nested = _microseconds(outer, inner)
    off, _ = _microseconds(threading.Lock(), threading.Lock())
    return {
        "with_lock_us": plain,
        "with_lock_after_watch_us": off,
        "watch_adds_us": watched - plain,
        "watch_adds_nested_us": watched_nested - plain_nested,
    }


if __name__ == "__main__":
    for name, value in main().items():
        sys.stdout.write(f"{name}: {value:.2f}\n")
