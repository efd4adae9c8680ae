# SPDX-License-Identifier: Apache-2.0
"""How the native explorer works; kept apart from what needs numba."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

_MOST_CORES = 8
"""Cores that are used unless more are asked for: what sharing one table gains beyond is not known."""


def available_cores() -> int:
    """Return how many cores this process may run on, and is worth to."""
    allowed = getattr(os, "sched_getaffinity", None)
    cores = len(allowed(0)) if allowed else os.cpu_count() or 1
    return min(cores, _MOST_CORES)


@dataclass(frozen=True, slots=True)
class NativeOptions:
    """Which explorer answers, and with what.

    :param explorer: ``auto`` (the reference for small spaces, else the native one), ``reference`` or
        ``native``.
    :param symmetry: exchange identical threads.
    :param partial_order: let steps go first that nothing else depends on.
    :param cores: how many cores to use. The answer does not depend on it.
    :param small: with ``auto``, up to how many states nothing is reduced, so that both explorers report the
        same states. A fixed number, so that the same command always gives the same answer.
    :param first: with ``auto``, how many of these the reference explorer tries first; 5,000 are about 0.2 s,
        less than loading the kernels takes. It goes on to *small* only while kernels are being compiled.
    :param checkpoint: a file to continue from, and to write to about twice a minute; empty: none.
    """

    explorer: str = "auto"
    symmetry: bool = True
    partial_order: bool = True
    cores: int = field(default_factory=available_cores)
    small: int = 20_000
    first: int = 5_000
    checkpoint: str = ""
