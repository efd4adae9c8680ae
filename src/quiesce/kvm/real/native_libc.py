# SPDX-License-Identifier: Apache-2.0
"""Functions of libc that native loops call, by their names. They are found when a loop is compiled."""

from __future__ import annotations

from typing import Any

from quiesce.explorer.native.kernels.pointers import types

_int, _long = types.int32, types.int64


def _libc(name: str, result: Any, *arguments: Any) -> Any:
    return types.ExternalFunction(name, result(*arguments))


mutex_lock = _libc("pthread_mutex_lock", _int, _long)
mutex_unlock = _libc("pthread_mutex_unlock", _int, _long)
cond_wait = _libc("pthread_cond_wait", _int, _long, _long)
cond_signal = _libc("pthread_cond_signal", _int, _long)
cond_broadcast = _libc("pthread_cond_broadcast", _int, _long)
clock_gettime = _libc("clock_gettime", _int, _int, _long)
sched_yield = _libc("sched_yield", _int)
usleep = _libc("usleep", _int, types.uint32)
madvise = _libc("madvise", _int, _long, _long, _int)
mprotect = _libc("mprotect", _int, _long, _long, _int)
mremap = _libc("mremap", _long, _long, _long, _long, _int, _long)
syscall = _libc("syscall", _long, _long, _long, _long, _long)
waitpid = _libc("waitpid", _int, _int, _long, _int)
