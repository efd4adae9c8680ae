# SPDX-License-Identifier: Apache-2.0
"""numba, imported only here and only when a search needs it, with a cache that works everywhere.

numba keeps compiled code beside the source if it can. An installed package is often read-only, a
home directory may be missing, and a kernel that calls another is not compiled anew when only the other
changed; so the cache is kept in a directory of our own, named after a digest of all the kernels' source.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from quiesce.compiler import opcodes
from quiesce.stopping import immediately

F = TypeVar("F", bound=Callable[..., Any])


class NativeUnavailable(Exception):
    """There is no numba, or it does not work here; the text says which."""


def cache_directory() -> Path:
    """Return a directory that can be written, in which compiled kernels are kept."""
    here = Path(__file__).parent
    digest = hashlib.sha256(Path(opcodes.__file__).read_bytes())
    for path in sorted(here.glob("*.py")):
        digest.update(path.read_bytes())
    leaf = f"native-{digest.hexdigest()[:12]}"
    user = getattr(os, "getuid", lambda: 0)()
    candidates = [
        os.environ.get("XDG_CACHE_HOME", ""),
        os.path.join(os.path.expanduser("~"), ".cache"),
        os.path.join(tempfile.gettempdir(), f"quiesce-{user}"),
    ]
    for candidate in candidates:
        if not os.path.isabs(candidate):
            continue
        path = Path(candidate) / "quiesce" / leaf
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=path):
                return path
        except OSError:
            continue
    return Path(tempfile.mkdtemp(prefix="quiesce-"))


@contextlib.contextmanager
def quiet_numba() -> Iterator[Any]:
    """Import numba with our cache directory and without its warnings; yield the module.

    :raises NativeUnavailable: it cannot be imported.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import numba
        except Exception as error:
            raise NativeUnavailable(f"numba cannot be imported: {error}") from error
        _let_compiling_be_interrupted()
        config: Any = numba.config
        before = config.CACHE_DIR
        if not os.environ.get("NUMBA_CACHE_DIR"):
            config.CACHE_DIR = str(cache_directory())
        try:
            yield numba
        finally:
            config.CACHE_DIR = before


@functools.cache
def _let_compiling_be_interrupted() -> None:
    """Let Ctrl-C end the compilation of a kernel, which takes seconds, and not wait for its end."""
    from numba.core import event

    class Compiling(event.Listener):
        """Hears when numba begins and ends to compile; it compiles one kernel at a time."""

        def __init__(self) -> None:
            self._open: list[contextlib.AbstractContextManager[None]] = []

        def on_start(self, event: object) -> None:
            self._open.append(immediately())
            self._open[-1].__enter__()

        def on_end(self, event: object) -> None:
            if self._open:
                self._open.pop().__exit__(None, None, None)

    register: Any = event.register
    register("numba:compile", Compiling())


def kernel(function: F) -> F:
    """Compile *function* natively at its first call, or load it from the cache."""
    with quiet_numba() as numba:
        compiled: F = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
        return compiled


def inline_kernel(function: F) -> F:
    """Compile *function*, which kernels call, as part of each of them."""
    with quiet_numba() as numba:
        compiled: F = numba.njit(cache=False, nogil=True, error_model="numpy", forceinline=True)(
            function
        )
        return compiled
