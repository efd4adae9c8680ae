# SPDX-License-Identifier: Apache-2.0
"""The explanation of one report, as data: what every renderer shows, in this order.

One sentence; the locks; the paths; the interleaving; what makes it a real deadlock or a false one;
what the report does not show; what would break it, most promising first.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LockNote:
    """One lock of the report, explained.

    :param name: as printed; *class_name*: without the version that changes from boot to boot.
    :param role: ``wanted``, ``held``, ``link #2``, ``irq-safe`` and such.
    :param mode: how it is taken: a value of :class:`quiesce.explain.judge.modes.Mode`.
    :param held_mode: how it is held by the task that others wait for, likewise.
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


@dataclass(frozen=True)
class PathNote:
    """One edge: *holds* first, then *wants*, in *function*.

    :param task: the letter of the task in the interleaving; *number*: the link of the chain.
    :param held_how: how sure we are of the mode in which the first lock is held.
    :param line: 1-based line of the log.
    """

    task: str
    number: int
    holds: str
    held_mode: str
    held_how: str
    wants: str
    wanted_mode: str
    call: str
    function: str
    entry: str
    line: int


@dataclass(frozen=True)
class Interleaving:
    """A table and the same in sentences, one a task."""

    title: str
    text: str
    waits: tuple[str, ...]


@dataclass(frozen=True)
class Reason:
    """One point for or against the hang.

    :param code: the letter of the list in ``docs/reading_splats.md``, empty outside of it.
    :param certain: True when it follows from the report, False when it has to be looked up.
    """

    code: str
    text: str
    certain: bool


@dataclass(frozen=True)
class Explanation:
    """See the module.

    :param summary: what can happen, in one sentence.
    :param assessment: ``real``, ``only-if`` or ``artefact``; empty for kinds about no deadlock.
    :param because: the assessment in a sentence or two.
    :param real: what speaks for a real deadlock; *false*: what would make it a false one.
    """

    summary: str
    locks: tuple[LockNote, ...] = ()
    paths: tuple[PathNote, ...] = ()
    interleavings: tuple[Interleaving, ...] = ()
    assessment: str = ""
    because: str = ""
    real: tuple[Reason, ...] = ()
    false: tuple[Reason, ...] = ()
    not_shown: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()
