# SPDX-License-Identifier: Apache-2.0
"""Storms: threads that invalidate memory of this process as fast as they can, and what competes with them.

With numba the loops are native and do not hold the interpreter's lock. Without it plain threads call libc,
which releases the lock for each call: fewer invalidations, and a weaker effect. Every thread, and every
process of the load, stops by itself at a deadline: an updater that waits for them cannot be interrupted.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.util
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from quiesce.explorer.native.kernels.kernel_cache import cache_directory
from quiesce.kvm.real.device import HostMemory

STORMS = ("dontneed", "mprotect", "mremap", "fork")
"""What invalidates: ``madvise(MADV_DONTNEED)``, ``mprotect()``, ``mremap()``, ``fork()``."""

CONTROL = "spin"
"""What competes for the cores as a storm does, and invalidates nothing."""

REGION = 65536
"""Bytes that each thread invalidates. It has as many again behind them, for ``mremap()``."""

MOST_THREADS = 256
MOST_LOAD = 256


class Storm(Protocol):
    """A storm of some number of threads."""

    def start(self) -> None:
        """Start all threads."""

    def stop(self) -> None:
        """Ask all threads to stop now, before their deadline."""

    def wait(self) -> float:
        """Wait until all threads are gone; return the operations per second of all together."""

    @property
    def thread_ids(self) -> list[int]:
        """The kernel's numbers of the threads."""


class NativeStorm:
    """A storm by numba."""

    def __init__(self, kind: str, threads: int, deadline: float, regions: list[int]) -> None:
        from quiesce.kvm.real.native_gates import Crowd, Threads

        self._regions = regions
        self._crowd = Crowd(Threads("", threads, work=kind), deadline)

    def start(self) -> None:
        """Start all threads."""
        self._crowd.start(self._regions)

    def stop(self) -> None:
        """Ask all threads to stop now."""
        self._crowd.stop()

    def wait(self) -> float:
        """Wait until all threads are gone; return the operations per second."""
        return self._crowd.wait().rate

    @property
    def thread_ids(self) -> list[int]:
        """The kernel's numbers of the threads."""
        return self._crowd.thread_ids


class PlainStorm:
    """A storm by plain threads that call libc."""

    def __init__(self, kind: str, threads: int, deadline: float, regions: list[int]) -> None:
        self._deadline = deadline
        self._counts = [0] * threads
        self._began = 0.0
        self._over = False
        self._go = threading.Event()
        loop = getattr(self, f"_{kind}")
        self._threads = [
            threading.Thread(target=loop, args=(number, regions[number]), daemon=True)
            for number in range(threads)
        ]
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.mremap.restype = ctypes.c_void_p
        size, address = ctypes.c_size_t, ctypes.c_void_p
        self._libc.madvise.argtypes = (address, size, ctypes.c_int)
        self._libc.mprotect.argtypes = (address, size, ctypes.c_int)
        self._libc.mremap.argtypes = (address, size, size, ctypes.c_int, address)

    def start(self) -> None:
        """Start all threads."""
        try:
            for thread in self._threads:
                thread.start()
        except BaseException:
            self._over = True
            raise
        finally:
            # Only now: threads that are busy already would hold up the start of the others.
            self._began = time.monotonic()
            self._go.set()

    def stop(self) -> None:
        """Ask all threads to stop now."""
        self._over = True

    def wait(self) -> float:
        """Wait until all threads are gone; return the operations per second."""
        for thread in self._threads:
            thread.join()
        return sum(self._counts) / (time.monotonic() - self._began)

    @property
    def thread_ids(self) -> list[int]:
        """The kernel's numbers of the threads."""
        return [t.native_id for t in self._threads if t.native_id is not None]

    def _runs(self, number: int) -> Iterator[None]:
        """Yield until the deadline, and count."""
        self._go.wait()
        while not self._over and time.monotonic() < self._deadline:
            yield
            self._counts[number] += 1

    def _dontneed(self, number: int, region: int) -> None:
        for _ in self._runs(number):
            self._libc.madvise(region, REGION, 4)

    def _mprotect(self, number: int, region: int) -> None:
        ctypes.memset(region, 1, REGION)
        for _ in self._runs(number):
            self._libc.mprotect(region, REGION, 1)
            self._libc.mprotect(region, REGION, 3)

    def _mremap(self, number: int, region: int) -> None:
        ctypes.memset(region, 1, REGION)
        spare = region + REGION
        for _ in self._runs(number):
            # MAYMOVE, FIXED and DONTUNMAP: nothing else of the process gets to the old place.
            self._libc.mremap(region, REGION, REGION, 7, spare)
            region, spare = spare, region

    def _fork(self, number: int, region: int) -> None:
        for _ in self._runs(number):
            subprocess.run(["/bin/true"], check=False, close_fds=False)

    def _spin(self, number: int, region: int) -> None:
        for _ in self._runs(number):
            hashlib.pbkdf2_hmac("sha256", b"spin", b"", 500)


@contextlib.contextmanager
def storm_memory(threads: int) -> Iterator[list[int]]:
    """Yield where the memory of each of *threads* threads is, and give it back in the end."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(HostMemory(2 * REGION)).address for _ in range(threads)]


@contextlib.contextmanager
def load(processes: int, seconds: float) -> Iterator[None]:
    """Keep *processes* processes busy that have nothing to do with the VM; they end after *seconds*."""
    source = f"import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"
    command = [sys.executable, "-I", "-S", "-c", source]
    running: list[subprocess.Popen[bytes]] = []
    try:
        running += [subprocess.Popen(command, stdin=subprocess.DEVNULL) for _ in range(processes)]
        yield
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.wait()


def native_storms(limit: float) -> str:
    """Make the native loops ready; return why they cannot be used, or nothing.

    Compiling them takes some 4 s of a core, once. It is done in a process of its own, which ends after
    *limit* seconds.
    """
    lacking = [name for name in ("numpy", "numba") if importlib.util.find_spec(name) is None]
    if lacking:
        return f"{' and '.join(lacking)} cannot be imported (pip install 'quiesce[native]')"
    if not _is_compiled():
        source = "from quiesce.kvm.real.native_gates import compile_kernels as c; c()"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        try:
            done = subprocess.run(
                [sys.executable, "-c", source],
                timeout=limit,
                env=environment,
                check=False,
                capture_output=True,
            )
        except subprocess.TimeoutExpired:
            return f"the native loops could not be compiled within {limit:.0f} s; give more --seconds once"
        if done.returncode:
            return "numba does not work here"
    from quiesce.kvm.real.native_gates import compile_kernels

    compile_kernels()
    return ""


def _is_compiled() -> bool:
    """Tell whether the cache has the loops of this source: numba keeps them in a folder for each directory.

    If numba names that folder in another way, the answer is no, and the loops are loaded twice.
    """
    cache = cache_directory()
    if cache is None:
        return False
    source = Path(__file__).parent.resolve() / "native_kernels.py"
    folder = str(source.parent)
    digest = hashlib.sha1(folder.encode(), usedforsecurity=False).hexdigest()
    kept = cache / f"{source.parent.name}_{digest}"
    changed = source.stat().st_mtime
    indexes = [
        max(
            (file.stat().st_mtime for file in kept.glob(f"native_kernels.{loop}-*.nbi")),
            default=0.0,
        )
        for loop in ("invalidate", "update", "fault")
    ]
    return all(when >= changed for when in indexes)
