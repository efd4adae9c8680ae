# SPDX-License-Identifier: Apache-2.0
"""Compile every kernel and keep it: ``python -m quiesce.explorer.native.compile_kernels``.

numba compiles a kernel for the types that it is called with. So a small protocol is checked that needs all of
them: with identical threads and without, with loops, a failing step, races and every kind of property.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

from quiesce.compiler.program import compile_scenario
from quiesce.explorer.native.check import check_native
from quiesce.explorer.native.options import NativeOptions
from quiesce.explorer.native.ready import marker
from quiesce.explorer.reference.checker import Options
from quiesce.protocol import (
    Bool,
    Int,
    Scenario,
    TaskRef,
    always,
    atomic,
    choose,
    current,
    eventually,
    sometimes,
    thread,
    wait_until,
)


class Small(Scenario):
    """Identical threads that wait and spin, with a property of each kind.

    :param bad: a thread fails.
    :param lost: the flag is never set, so that threads never leave their loop.
    :param size: how many values the counter has; with many the table of states grows.
    """

    owner = TaskRef()
    flag = Bool(marked=True)
    turns = Int(0, high=9999)

    def __init__(self, bad: bool = False, lost: bool = False, size: int = 3) -> None:
        self.bad, self.lost, self.size = bad, lost, size

    @atomic(queued=True)
    def take(self) -> None:
        wait_until(self.owner is None)
        self.owner = current()

    @atomic
    def drop(self) -> None:
        self.owner = None

    @thread(count=2)
    def user(self) -> None:
        """Takes the lock, and waits for a flag in a loop."""
        while True:
            self.take()
            self.turns = (self.turns + 1) % self.size
            self.drop()
            while not self.flag:
                if not self.lost and choose(True, False):
                    self.flag = True

    @thread()
    def other(self) -> None:
        """Clears the flag forever."""
        while True:
            self.take()
            self.flag = False
            assert not self.bad or self.turns != 2
            self.drop()

    @always
    def owned(self) -> bool:
        """The turns are in range."""
        return self.turns < self.size

    @sometimes
    def set(self) -> bool:
        """The flag is set."""
        return self.flag

    @eventually()
    def cleared(self) -> bool:
        """The flag is cleared again and again."""
        return not self.flag


def compile_all() -> None:
    """Call every kernel, so that it is compiled or read from the cache."""
    for small in (Small(), Small(bad=True), Small(lost=True), Small(size=250)):
        program = compile_scenario(small)
        for reduced in (False, True):
            native = NativeOptions("native", reduced, reduced, 1)
            for keep_going in (False, True):
                check_native(program, Options(keep_going), native)
            check_native(program, Options(True, "none"), replace(native, cores=2))


def main() -> None:
    """Compile all kernels, unless another process does, and say in the cache directory that it is done."""
    file = marker()
    if file is None or file.exists():
        return
    with open(file.with_suffix(".lock"), "wb") as lock:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        if file.exists():
            return
        compile_all()
        file.touch(0o600)


if __name__ == "__main__":
    main()
