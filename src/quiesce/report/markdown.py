# SPDX-License-Identifier: Apache-2.0
"""Markdown in which no name from outside is read as Markdown: every such name is code.

A forge finds mentions, issue numbers and addresses in the text that Markdown leaves, so a backslash does not
keep them from it; code does. So what is not an ordinary word of a sentence becomes code, whether it is
known to be a name or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from quiesce.harmless import harmless, one_line

_WORD = re.compile(
    r"(?![a-f]{7,40}$)[A-Za-z]+(?:[-'/][A-Za-z]+)*|[A-Z]{1,8}[0-9]{1,2}|[0-9]+(?:[.,][0-9]+)*"
)
"""What stays text: words, ``CPU0``, numbers. Nothing in it is Markdown, a mention, an address or a commit."""

_HEAD = re.compile(r"[(\"]*")
_TAIL = re.compile(r"[)\",.;:!?]*$")
_GLUE = "\x00"
"""Stands for a blank inside of a name; harmless text has no such character."""


def code(text: str) -> str:
    """Return *text* as inline code, whatever backticks it contains; empty for nothing."""
    text = one_line(text)
    if not text:
        return ""
    ticks = _longer_than_in(text, 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def block(text: str) -> list[str]:
    """Return the lines of *text* as a block of code."""
    text = harmless(text)
    ticks = _longer_than_in(text, 3)
    return [ticks, text, ticks]


def _longer_than_in(text: str, least: int) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * max(least, longest + 1)


class Prose:
    """Writes sentences in which some names are known.

    :param names: those names. A word of small letters alone is not told from the words around it.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        known = {one_line(name) for name in names}
        known = {name for name in known if name.strip() and not re.fullmatch("[a-z]+", name)}
        longest_first = sorted(known, key=lambda name: (-len(name), name))
        self._names = re.compile("|".join(map(_bounded, longest_first)) or "(?!)")

    def __call__(self, text: str) -> str:
        """Return the sentence *text* as Markdown."""
        glued = self._names.sub(lambda match: match[0].replace(" ", _GLUE), one_line(text))
        words = glued.split(" ")
        return " ".join(self._word(word, place == 0) for place, word in enumerate(words))

    def _word(self, word: str, first: bool) -> str:
        """Return *word*, its punctuation kept outside; *first*: a number there would begin a list."""
        word = word.replace(_GLUE, " ")
        head = _HEAD.match(word)
        tail = _TAIL.search(word)
        assert head is not None and tail is not None
        start, end = head.end(), max(head.end(), tail.start())
        core = word[start:end]
        plain = not core or (bool(_WORD.fullmatch(core)) and not (first and core[0].isdigit()))
        if plain and not self._names.search(core):
            return word
        # A call keeps its parentheses.
        while core.count("(") > core.count(")") and word[end : end + 1] == ")":
            end += 1
            core = word[start:end]
        return f"{word[:start]}{code(core)}{word[end:]}"


def _bounded(name: str) -> str:
    """Return a pattern for *name* that is not a part of a longer word."""
    before = r"(?<![A-Za-z0-9_])" if name[0].isalnum() or name[0] == "_" else ""
    after = r"(?![A-Za-z0-9_])" if name[-1].isalnum() or name[-1] == "_" else ""
    return f"{before}{re.escape(name)}{after}"
