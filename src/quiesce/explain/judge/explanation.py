# SPDX-License-Identifier: Apache-2.0
"""The explanation of one report, as data: its answer, and all that stands behind it."""

from __future__ import annotations

from dataclasses import dataclass

from quiesce.explain.judge.answer import Answer
from quiesce.explain.judge.excuses import Excuse


@dataclass(frozen=True)
class LockNote:
    """One lock of the report, explained.

    :param name: as printed; *short_name*: as an answer prints it; *class_name*: without the version
        that changes from boot to boot.
    :param role: ``wanted``, ``held``, ``link #2``, ``irq-safe`` and such.
    :param mode: how it is taken: a value of :class:`quiesce.explain.judge.modes.AcquireMode`.
    :param held_mode: how it is held by the task that others wait for, in the same form.
    :param annotation: True when no lock stands behind the name.
    :param nature: a value of :class:`quiesce.explain.judge.annotations.Nature`.
    :param usage: the usage characters; *usage_text* says what they mean here.
    :param wait_type: ``{outer:inner}`` in words, empty when the kernel printed none.
    :param where: the function that took it.
    :param stands_for: what an annotation or home-made lock is; *blocks*: who waits for whom.
    :param source: the kernel function to read about it.
    :param primitive: ``mutex``, ``rwsem``, ... where the function that took it tells.
    """

    name: str
    class_name: str
    role: str
    mode: str
    held_mode: str
    annotation: bool
    nature: str
    usage: str
    usage_text: str
    wait_type: str
    where: str
    stands_for: str
    blocks: str
    source: str
    primitive: str = ""
    address: str = ""
    line: int = 0
    short_name: str = ""


@dataclass(frozen=True)
class Interleaving:
    """A table and the same in sentences, one a task."""

    title: str
    text: str
    waits: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """What is said about one report.

    :param answer: what is shown on one screen; the rest is shown on request.
    :param excuses: every excuse that was found, the heaviest first.
    :param locks: the locks of the report, each explained.
    :param interleavings: the hang, drawn.
    :param not_shown: what the report cannot tell, and what is missing in the text.
    """

    answer: Answer
    excuses: tuple[Excuse, ...] = ()
    locks: tuple[LockNote, ...] = ()
    interleavings: tuple[Interleaving, ...] = ()
    not_shown: tuple[str, ...] = ()
