# SPDX-License-Identifier: Apache-2.0
"""How many lock events the validator takes in a second: a million random ones over 500 classes.

Locks are taken in the order of their classes, one to four deep, so that nothing is reported and every
check is made to its end. Half of the acquires are of readers.
"""

from __future__ import annotations

import random
import sys
import time

from quiesce.lockdep import Validator, WaitType

CLASSES = 500
EVENTS = 1_000_000
MAX_DEPTH = 4


def events_per_second(validator: Validator, events: int, seed: int = 1) -> float:
    """Feed *events* acquires and releases to *validator*; return how many it took a second."""
    chooser = random.Random(seed)
    locks = [validator.lock(i, f"lock{i}", wait_inner=WaitType.SLEEP) for i in range(CLASSES)]
    rounds = []
    total = 0
    while total < events:
        chosen = sorted(chooser.sample(range(CLASSES), chooser.randint(1, MAX_DEPTH)))
        rounds.append([(locks[i], chooser.choice((0, 0, 1, 2))) for i in chosen])
        total += 2 * len(chosen)
    task = validator.task("bench")
    start = time.perf_counter()
    for taken in rounds:
        for lock, read in taken:
            validator.acquire(task, lock, read=read)
        for lock, _ in reversed(taken):
            validator.release(task, lock)
    seconds = time.perf_counter() - start
    if validator.reports:
        raise AssertionError(f"nothing was to be reported: {validator.reports[0].title}")
    return total / seconds


def main() -> dict[str, float]:
    """Return events per second."""
    exact = Validator()
    return {"lockdep_events_per_second": events_per_second(exact, EVENTS)}


if __name__ == "__main__":
    for name, value in main().items():
        sys.stdout.write(f"{name}: {value:,.0f}\n")
