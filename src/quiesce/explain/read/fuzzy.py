# SPDX-License-Identifier: Apache-2.0
"""Recognize lockdep's own words in lines of which a serial console has lost or garbled characters."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

LEAST = 14
"""Characters of the shortest phrase that is recognized so: shorter ones are too like other words."""

_SHARE = 0.88
_SLACK = 6


def contains_nearly(text: str, phrase: str) -> bool:
    """True if *text* contains *phrase*, but for a few characters that are lost or others."""
    size = len(phrase)
    if size < LEAST or len(text) < size - _SLACK or len(text) > 200:
        return False
    blocks = SequenceMatcher(None, text, phrase, autojunk=False).get_matching_blocks()[:-1]
    if not blocks:
        return False
    matched = sum(block.size for block in blocks)
    span = blocks[-1].a + blocks[-1].size - blocks[0].a
    return matched >= _SHARE * size and span <= size + _SLACK


def nearest(text: str, phrases: Iterable[str]) -> str:
    """Return the phrase that *text* nearly contains; empty if there is none."""
    words = set(text.split())
    for phrase in phrases:
        # A cheap look first: some of its words must be there.
        if words & set(phrase.split()) and contains_nearly(text, phrase):
            return phrase
    return ""
