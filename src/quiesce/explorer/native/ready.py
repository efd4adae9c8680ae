# SPDX-License-Identifier: Apache-2.0
"""Whether the kernels are compiled, and compiling them in a process of its own.

Compiling all kernels takes some ten seconds of one core. Python compiles and explores in one process no
faster than one after the other, since both need its interpreter lock; so another process compiles, and
leaves the kernels in the cache directory. A file there says that all of them are compiled.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

from quiesce.explorer.native.kernels.kernel_cache import lasting_directory, sources

_COMPILE = "quiesce.explorer.native.compile_kernels"


@functools.cache
def _directory() -> Path | None:
    return lasting_directory()


@functools.cache
def marker() -> Path | None:
    """Return the file that exists once all kernels are compiled; None if they cannot be kept.

    Its name depends on all that numba's cache depends on: interpreter, numba, processor, age of the sources.
    """
    directory = _directory()
    if directory is None:
        return None
    try:
        versions = [importlib.metadata.version(name) for name in ("numba", "llvmlite", "numpy")]
    except importlib.metadata.PackageNotFoundError:
        return None
    ages = [str(path.stat().st_mtime_ns) for path in sources()]
    parts = [sys.version, platform.node(), platform.machine(), *versions, *ages]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    return directory / f"compiled-{digest}"


def kernels_are_ready() -> bool:
    """Tell whether all kernels are compiled and kept."""
    file = marker()
    return file is not None and file.exists()


class BackgroundCompiler:
    """A process that compiles all kernels; it ends by itself, also after this one has.

    :ivar started: whether there is, or was, such a process.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if marker() is None:
            return
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with contextlib.suppress(OSError):
            self._process = subprocess.Popen(
                [sys.executable, "-m", _COMPILE],
                env=environment, start_new_session=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        if self._process is not None:
            # It is not waited for at our end, and Python would warn of that.
            self._process.returncode = None

    @property
    def works(self) -> bool:
        """Whether the process is still at it."""
        return self._process is not None and self._process.poll() is None


@functools.cache
def background_compiler() -> BackgroundCompiler:
    """Return the compiler of this process, started at the first call."""
    return BackgroundCompiler()
