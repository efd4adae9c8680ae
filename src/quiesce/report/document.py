# SPDX-License-Identifier: Apache-2.0
"""The document that every command fills and every format writes.

A document says the same thing three times, for three kinds of reader: in *sections* for people, as
*problems* with their places and as *suites* of cases for pipelines, and as plain *data* for programs. A
format takes what it can show, and lives in one file of ``formats/``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum

from quiesce.verdict import Verdict


class Severity(StrEnum):
    """How much a problem matters; the words are SARIF's."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Tone(Enum):
    """What a word says, for a terminal that has colors."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"
    OPEN = "open"
    LINK = "link"
    """Which thread waits for which."""


TONES = {
    Verdict.HOLDS: Tone.GOOD,
    Verdict.VIOLATION: Tone.BAD,
    Verdict.INCOMPLETE: Tone.OPEN,
    Verdict.ERROR: Tone.BAD,
}


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a table or of a headline, with its tone."""

    text: str
    tone: Tone = Tone.PLAIN


# --- For people: blocks ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict in a word, and what it is about. At most one stands in a document."""

    verdict: Word
    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A sentence or several.

    :param first: what begins the first line as text: an indent, or the number of an item.
    :param rest: the indent of the other lines.
    :param width: columns as text; 0: it is never wrapped.
    :param cut_words: break a word that is longer than a line.
    """

    text: str
    first: str = ""
    rest: str = ""
    width: int = 79
    cut_words: bool = True


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """Text that keeps its lines and blanks: an excerpt of source, the kernel's own report."""

    text: str
    indent: str = ""


@dataclass(frozen=True, slots=True)
class TableBlock:
    """Rows of cells.

    :param heads: the heads of the columns, one or more lines of them; empty: a list of facts.
    :param right: the columns whose cells are aligned at the right.
    :param widths: the least width of each column as text.
    :param gap: what stands between two columns as text.
    :param ruled: a line of dashes stands below the heads.
    """

    heads: tuple[tuple[str, ...], ...]
    rows: tuple[tuple[Word, ...], ...]
    right: frozenset[int] = frozenset()
    widths: tuple[int, ...] = ()
    gap: str = "  "
    indent: str = ""
    ruled: bool = False


@dataclass(frozen=True, slots=True)
class LaneText:
    """A line of an interleaving: in the column *lane*, or across all of them with -1."""

    lane: int
    text: str


@dataclass(frozen=True, slots=True)
class InterleavingBlock:
    """What several threads do, one column a thread, time going down.

    :param heads: the names of the threads.
    :param starts: where each column begins, counted from 0.
    :param width: columns of the drawing; a longer text continues on the next line.
    """

    heads: tuple[str, ...]
    moves: tuple[LaneText, ...]
    starts: tuple[int, ...]
    width: int


@dataclass(frozen=True, slots=True)
class Rung:
    """A line of a ladder: what *text* says, and at the right what it waits for (*arrow*)."""

    text: str
    arrow: str = ""


@dataclass(frozen=True, slots=True)
class LadderBlock:
    """Tasks that wait for each other, one or more rungs a task."""

    rungs: tuple[Rung, ...]
    width: int


Block = Headline | Paragraph | CodeBlock | TableBlock | InterleavingBlock | LadderBlock


@dataclass(frozen=True, slots=True)
class BlockGroup:
    """Blocks that belong together; as text, an empty line stands between two sections."""

    blocks: tuple[Block, ...]


def text_section(text: str) -> BlockGroup:
    """Return *text*, which is laid out already, as a section."""
    return BlockGroup((CodeBlock(text.rstrip("\n")),))


# --- For pipelines: problems and cases ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A line of a file.

    :param file: as the user gave it; empty if there is none.
    :param line: from 1; 0 if it is not known.
    :param column: from 1; 0 if it is not known.
    :param text: what stands or happens there.
    """

    file: str
    line: int = 0
    column: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """What a problem breaks.

    :param id: a stable name of lower-case words with dashes between them.
    :param meaning: the definition, a sentence without its full stop.
    """

    id: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Moment:
    """A step of the run that shows a problem."""

    thread: str
    place: FilePlace


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that was found.

    :param place: where; None if it is about the program as a whole.
    :param subject: the scenario, the design or the report that has it.
    :param run: the steps that lead to it.
    :param fingerprint: equal for the same problem in another run of the same command; empty: none.
    :param decided: False for what is not decided; then it is no evidence of a fault.
    """

    rule: BrokenRule
    level: Severity
    message: str
    subject: str
    place: FilePlace | None = None
    run: tuple[Moment, ...] = ()
    fingerprint: str = ""
    decided: bool = True


@dataclass(frozen=True, slots=True)
class AnsweredCase:
    """Something that was asked, and the answer.

    :param message: a sentence; empty if the answer is that it holds.
    :param details: text of several lines.
    :param informational: the answer decides nothing.
    """

    name: str
    verdict: Verdict
    message: str = ""
    details: str = ""
    informational: bool = False


@dataclass(frozen=True, slots=True)
class Suite:
    """The cases of one scenario, design or log."""

    name: str
    cases: tuple[AnsweredCase, ...]
    seconds: float = 0.0


# --- The document ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Document:
    """A result, before it has a form.

    :param title: what was done, on one line.
    :param sections: for people. This and the next three are made when a format asks for them.
    :param data: what ``--json`` prints.
    :param problems: for pipelines: what was found, and where.
    :param suites: for pipelines: what was asked, and the answers.
    :param names: words from outside that stand in the sections; Markdown writes them as code.
    :param indent: of the JSON; None: one line.
    :param written: for each name of a format, what writes it instead: a form that only this command has.
    """

    title: str
    verdict: Verdict
    sections: Callable[[], Iterable[BlockGroup]]
    data: Callable[[], object]
    problems: Callable[[], Sequence[Problem]]
    suites: Callable[[], Sequence[Suite]]
    names: tuple[str, ...] = ()
    indent: int | None = None
    written: dict[str, Callable[[], str]] = field(default_factory=dict)


def with_problem(document: Document, rule: str, message: str, subject: str) -> Document:
    """Return *document* with one more error, and a case that fails, for a command that judges more.

    :param rule: its name; *message* says what is wrong with *subject*.
    """
    problem = Problem(BrokenRule(rule, rule.replace("-", " ")), Severity.ERROR, message, subject)
    suite = Suite(subject, (AnsweredCase(rule, Verdict.VIOLATION, message),))
    return replace(
        document,
        problems=lambda: [*document.problems(), problem],
        suites=lambda: [*document.suites(), suite],
    )


def rule_id(words: str) -> str:
    """Return *words* as the name of a rule: ``stuck thread`` becomes ``stuck-thread``."""
    return "-".join(words.lower().replace("_", " ").replace("-", " ").split())
