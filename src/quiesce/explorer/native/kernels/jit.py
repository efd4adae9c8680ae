# SPDX-License-Identifier: Apache-2.0
"""numba, imported only here and only when a search needs it, with a cache that works everywhere.

numba keeps compiled code beside the source if it can. An installed package is often read-only, and a home
directory may be missing; so the cache is a directory of our own (``kernel_cache.py``). A kernel that cannot
be kept, or read, is compiled again.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from quiesce.explorer.native.kernels.kernel_cache import cache_directory
from quiesce.stopping import immediately

F = TypeVar("F", bound=Callable[..., Any])


class NativeUnavailable(Exception):
    """There is no numba, or it does not work here; the text says which."""


@functools.cache
def _cache() -> Path | None:
    """The one directory of this process."""
    return cache_directory()


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
        config.CACHE_DIR = str(_cache() or "")
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
        kept = _cache() is not None
        compiled: F = numba.njit(cache=kept, nogil=True, error_model="numpy")(function)
        _forgive(compiled)
        return compiled


def _forgive(compiled: Any) -> None:
    """Let *compiled* work where its cache fails: a full disk, a file that was cut short."""
    cache = compiled._cache
    for name in ("save_overload", "load_overload"):
        setattr(cache, name, _forgiving(getattr(cache, name)))


def _forgiving(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: object) -> Any:
        try:
            return method(*args)
        except Exception:
            return None

    return call


def inline_kernel(function: F) -> F:
    """Compile *function*, which kernels call, as part of each of them."""
    with quiet_numba() as numba:
        compiled: F = numba.njit(cache=False, nogil=True, error_model="numpy", forceinline=True)(
            function
        )
        return compiled
