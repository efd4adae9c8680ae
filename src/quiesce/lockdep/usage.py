# SPDX-License-Identifier: Apache-2.0
"""Usage bits: in which contexts the locks of a class have been taken (``lockdep_internals.h``).

Each interrupt state (hardirq, softirq) owns four bits: used in such an interrupt, and used while
such interrupts could come, each for writers and for readers. A lock of the first kind must never be
of the second. Bit numbers, names and masks are the kernel's, since the order decides what a report
prints.
"""

from __future__ import annotations

USED_IN_HARDIRQ = 0
ENABLED_HARDIRQ = 2
USED_IN_SOFTIRQ = 4
ENABLED_SOFTIRQ = 6
USED = 8
USED_READ = 9

READ = 1
"""Added to a writer's bit, gives the reader's."""
DIRECTION = 2
"""Flips a bit between used-in and enabled."""
WAITS = 10
"""Added to a reader's used-in bit, gives the bit of readers that a waiting writer blocks.

The kernel has no such bit: it remembers only that there was a reader.
"""

USAGE_NAMES = (
    "IN-HARDIRQ-W",
    "IN-HARDIRQ-R",
    "HARDIRQ-ON-W",
    "HARDIRQ-ON-R",
    "IN-SOFTIRQ-W",
    "IN-SOFTIRQ-R",
    "SOFTIRQ-ON-W",
    "SOFTIRQ-ON-R",
    "INITIAL USE",
    "INITIAL READ USE",
)

STATE_NAMES = ("HARDIRQ", "SOFTIRQ")

USED_IN_ALL = 0b0011_0011
"""Every bit that says "used in an interrupt"."""
ENABLED_ALL = 0b1100_1100
"""Every bit that says "used while interrupts could come"."""
WRITE_ALL = 0b0101_0101
"""The writers' half of the interrupt bits."""
READ_ALL = 0b1010_1010
"""The readers' half of the interrupt bits."""


def strong_usage(usage: int) -> int:
    """Return the part of *usage* that matters where only recursive readers arrive, or shared holds leave.

    That is the writers', and the interrupts' readers that a waiting writer blocks.
    """
    return usage & WRITE_ALL | usage >> WAITS & USED_IN_ALL


def exclusive_bit(bit: int) -> int:
    """Return the writer's bit that *bit* must not meet: same state, opposite direction."""
    return (bit & ~READ) ^ DIRECTION


def _invert_direction(mask: int) -> int:
    return (mask & ENABLED_ALL) >> 2 | (mask & USED_IN_ALL) << 2


def exclusive_mask(mask: int) -> int:
    """Return every bit that some bit of *mask* must not meet, writers' and readers' both.

    A used-in reader and an enabled reader do meet badly when the dependency between the two locks
    goes through a writer (Linux 5.10, "lockdep: Fix recursive read lock related safe->unsafe
    detection").
    """
    mask = _invert_direction(mask)
    return mask | (mask & READ_ALL) >> 1 | (mask & WRITE_ALL) << 1


original_mask = exclusive_mask
"""The inverse question, "which bits could *mask* be exclusive to", has the same answer."""


def exclusive_pair(usage: int, other: int) -> tuple[int, int] | None:
    """Return the lowest bit of *usage* that must not meet *other*, and the bit that it meets."""
    for bit in range(USED):
        if usage >> bit & 1:
            excluded = exclusive_bit(bit)
            for candidate in (excluded, excluded + READ):
                if other >> candidate & 1:
                    return bit, candidate
    return None


def state_name(bit: int) -> str:
    """Return ``HARDIRQ``, ``SOFTIRQ-READ`` and so on: the class of interrupt as reports name it."""
    name = STATE_NAMES[bit >> 2]
    return f"{name}-READ" if bit & READ else name


def usage_characters(usage: int) -> str:
    """Return the four characters between the braces of a class: hardirq W, R, softirq W, R.

    ``+`` taken while such interrupts could come, ``-`` taken in such an interrupt, ``?`` both,
    ``.`` neither.
    """
    characters = ""
    for bit in (0, 1, 4, 5):
        used_in = usage >> bit & 1
        enabled = usage >> (bit + 2) & 1
        characters += ".-+?"[used_in + 2 * enabled]
    return characters
