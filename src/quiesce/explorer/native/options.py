# SPDX-License-Identifier: Apache-2.0
"""How the native explorer works; kept apart from what needs numba."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NativeOptions:
    """Which explorer answers, and with what.

    :param explorer: ``auto`` (the reference for small spaces, else the native one), ``reference`` or
        ``native``.
    :param symmetry: treat identical threads alike.
    :param partial_order: let steps go first that nothing else depends on.
    :param cores: how many cores to use.
    :param small: with ``auto``, how many states the reference explorer tries first; 20,000 are about half
        a second. A fixed number, so that the same command always gives the same answer.
    :param checkpoint: a file to continue from, and to write to about twice a minute; empty: none.
    """

    explorer: str = "auto"
    symmetry: bool = True
    partial_order: bool = True
    cores: int = 1
    small: int = 20_000
    checkpoint: str = ""
