# SPDX-License-Identifier: Apache-2.0
"""Work in several processes: memslot updates mostly wait for grace periods, so several VMs take turns well.

Each worker is forked, does its job and sends the result through a pipe. A worker ends by itself when the
process that forked it is gone.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import struct
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, Pipe, wait
from typing import Generic, NoReturn, TypeVar, cast

from quiesce import stopping
from quiesce.errors import UsageError

T = TypeVar("T")

_CHECK_SECONDS = 0.25
_COUNT = struct.Struct("=Q")


class Orphaned(Exception):
    """The process that forked this worker is gone."""


class Counters:
    """A number for each worker that all processes see.

    :param workers: how many.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.parent = os.getpid()
        self.map = mmap.mmap(-1, workers * _COUNT.size)

    def note(self, worker: int, count: int) -> None:
        """Say how far *worker* is.

        :raises Orphaned: this is a worker, and the process that forked it is gone.
        """
        _COUNT.pack_into(self.map, worker * _COUNT.size, count)
        if os.getpid() != self.parent and os.getppid() != self.parent:
            raise Orphaned

    def total(self) -> int:
        """Return how far all are together."""
        return sum(value for (value,) in _COUNT.iter_unpack(self.map[:]))


class Workers(Generic[T]):
    """Jobs, each in a process of its own, until all have ended.

    :param jobs: what they do.
    :param while_waiting: called a few times a second.
    """

    def __init__(self, jobs: Sequence[Callable[[], T]], while_waiting: Callable[[], None]) -> None:
        self.while_waiting = while_waiting
        self.jobs = jobs
        self.pids: list[int] = []
        self.pipes: list[Connection] = []

    def results(self) -> list[T | None]:
        """Return what the jobs return; None for a job that was killed.

        :raises UsageError: a job raises it.
        """
        try:
            for job in self.jobs:
                self._fork(job)
            return self._receive()
        finally:
            for pid in self.pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            for pipe in self.pipes:
                pipe.close()

    def _fork(self, job: Callable[[], T]) -> None:
        ours, theirs = Pipe(duplex=False)
        self.pipes.append(ours)
        with warnings.catch_warnings():
            # Other threads of this process hold no lock that a worker needs.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            _work(job, theirs)
        self.pids.append(pid)
        theirs.close()

    def _receive(self) -> list[T | None]:
        """Return what comes out of each pipe; pass a request to end on."""
        results: dict[int, T | None] = {}
        told = False
        while len(results) < len(self.pipes):
            open_pipes = [p for at, p in enumerate(self.pipes) if at not in results]
            for ready in wait(open_pipes, _CHECK_SECONDS):
                pipe = cast(Connection, ready)
                results[self.pipes.index(pipe)] = self._result(pipe)
            self.while_waiting()
            if stopping.reason() and not told:
                told = True
                for pid in self.pids:
                    os.kill(pid, signal.SIGTERM)
        return [results[at] for at in range(len(self.pipes))]

    @staticmethod
    def _result(pipe: Connection) -> T | None:
        try:
            result, refused = pipe.recv()
        except EOFError:
            return None
        if refused is not None:
            raise UsageError(*refused)
        return cast(T, result)


def _work(job: Callable[[], T], pipe: Connection) -> NoReturn:
    """Do *job*, send its result and end this process, which is a worker."""
    code = 1
    try:
        try:
            answer: tuple[object, object] = (job(), None)
        except UsageError as error:
            answer = (None, (error.what, error.cure))
        pipe.send(answer)
        code = 0
    except (Orphaned, KeyboardInterrupt, OSError):
        pass
    finally:
        os._exit(code)
