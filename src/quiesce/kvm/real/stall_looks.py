# SPDX-License-Identifier: Apache-2.0
"""Looks at the stacks of an updater and of invalidators, as ``/proc/self/task/*/stack`` shows them to root.

A thread that runs has no stack to be read, or an old one; there are at most as many as cores.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from quiesce.kvm.real.stall_result import Looks

LATE = 0.02
"""Seconds after which an update counts as late."""

PERIOD = 0.01
"""Seconds between two looks."""

BETWEEN = (
    "unmap_page_range",
    "zap_pte_range",
    "zap_page_range_single",
    "change_protection",
    "change_pmd_range",
    "change_p4d_range",
    "move_page_tables",
    "move_ptes",
    "copy_page_range",
    "copy_pte_range",
)
"""Functions that run between start and end. The compiler may add a suffix to their names."""


class Watcher:
    """Looks at threads again and again, on a thread of its own.

    :param updater: the kernel's number of the updating thread.
    :param invalidators: the numbers of the invalidating threads.
    :param waiting_since: tells when the update under way began (``time.monotonic``); 0: there is none.
    """

    def __init__(
        self, updater: int, invalidators: Sequence[int], waiting_since: Callable[[], float]
    ) -> None:
        self.looks = Looks()
        self._updater = updater
        self._invalidators = invalidators
        self._waiting_since = waiting_since
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def finish(self) -> Looks:
        """Stop looking, and return what was seen."""
        self._over.set()
        self._thread.join()
        return self.looks

    def _run(self) -> None:
        turn = 0
        while not self._over.wait(PERIOD):
            since = self._waiting_since()
            age = time.monotonic() - since if since else 0.0
            if age > LATE:
                self._look_at_updater()
            # Looking costs time of a core, too: less often when nothing is late.
            if age > LATE or turn % 5 == 0:
                self._look_at_invalidators(age)
            if not self.looks.readable:
                return
            turn += 1

    def _look_at_updater(self) -> None:
        kind = waits_for(self._stack(self._updater))
        if kind == "count":
            self.looks.counting += 1
        elif kind == "grace":
            self.looks.grace += 1
        else:
            self.looks.elsewhere += 1

    def _look_at_invalidators(self, age: float) -> None:
        functions: Counter[str] = Counter()
        for number in self._invalidators:
            stack = self._stack(number)
            if not stack:
                continue
            function = between(stack)
            if function:
                functions[function] += 1
                self.looks.between += 1
            else:
                self.looks.outside += 1
        if functions and age * 1e3 > self.looks.latest[0]:
            self.looks.latest = (age * 1e3, functions.total(), dict(functions))

    def _stack(self, number: int) -> list[str]:
        """Return the functions of a thread, the innermost first; none if it is gone or cannot be read."""
        try:
            with open(f"/proc/self/task/{number}/stack", encoding="ascii") as file:
                return functions_of(file.read())
        except PermissionError:
            self.looks.readable = False
        except OSError:
            pass
        return []


def functions_of(stack: str) -> list[str]:
    """Return the functions that the text of a ``stack`` file names, the innermost first."""
    found = []
    for line in stack.splitlines():
        name = line.rpartition("] ")[2].partition("+")[0].strip()
        if name:
            found.append(name)
    return found


def between(stack: Sequence[str]) -> str:
    """Return the function in which a thread is between start and end; empty if it is not there."""
    return next((name for name in stack if name.startswith(BETWEEN)), "")


def waits_for(stack: Sequence[str]) -> str:
    """Return what an updater waits for: ``count``, ``grace``, or nothing of both."""
    for name in stack:
        if "synchronize_srcu" in name:
            return "grace"
        if name.startswith(("kvm_swap_active_memslots", "install_new_memslots")):
            return "count"
    return ""
