# SPDX-License-Identifier: Apache-2.0
"""The paragraph about a report that a changelog would have: 8 to 15 lines of 72 characters."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from quiesce.explain.judge.answer import Answer, Chain, Judgement, LadderRow
from quiesce.explain.log import Explained, ExplainedLog
from quiesce.explain.read.model import PrintedReport

WIDTH = 72
MOST_LINES = 15
_MOST_ROWS = 4


def render(log: ExplainedLog) -> str:
    """Return a paragraph for each report of *log*; empty for a log without reports."""
    parts = ["\n".join(_paragraph(one)) for one in log.problems]
    return "\n\n".join(parts) + "\n" if parts else ""


def _paragraph(one: Explained) -> Iterator[str]:
    answer, report = one.explanation.answer, one.report
    rows = list(answer.rows)
    shown = rows if len(rows) <= _MOST_ROWS else [*rows[:2], rows[-1]]
    first, rest = shown[:1], shown[1:]
    yield from _wrap(" ".join([_opening(answer, report), *(_sentence(row) for row in first)]))
    for chain in answer.chains[:1]:
        if chain.functions:
            yield from ("", *_chain(chain), "")
    sentences = [_sentence(row) for row in rest]
    if len(rows) > len(shown):
        sentences.insert(1, f"({len(rows) - len(shown)} tasks between them wait for each other.)")
    sentences += [_verdict(answer), *_fix(answer)]
    yield from _wrap(" ".join(sentence for sentence in sentences if sentence))


def _opening(answer: Answer, report: PrintedReport) -> str:
    on = f" on {report.kernel}" if report.kernel else ""
    what = {chain.label: chain.what for chain in answer.chains}
    if answer.verdict is Judgement.MISUSE or answer.verdict is Judgement.OFF:
        return f"{_upper(_without_word(answer.text))} (Reported{on}.)"
    if "New edge" in what:
        return f"lockdep reports a cycle{on}. The edge that closes it is {what['New edge']}."
    if "New use" in what:
        return f"lockdep reports a lock that an interrupt can wait for{on}: {what['New use']}."
    if "Blocked" in what:
        return f"Tasks hang{on}."
    return f"lockdep reports a possible deadlock{on}."


def _without_word(text: str) -> str:
    head, _, rest = text.partition(": ")
    return rest if " " not in head else text


def _sentence(row: LadderRow) -> str:
    who = row.who.replace("the same task", "The same task then", 1)
    verbs = [*row.holds, row.waits] if row.waits else list(row.holds)
    if row.arrow.startswith("goes on") and len(verbs) > 1:
        verbs[-1] = f"then {verbs[-1]}"
    done = (
        _plain(" and ".join(verbs))
        if len(verbs) < 3
        else _plain(f"{', '.join(verbs[:-1])} and {verbs[-1]}")
    )
    if verbs and verbs[0].startswith("in "):
        done = f"is {done}"
    return f"{_upper(_plain(who))} {done}."


def _plain(text: str) -> str:
    """Take out what refers to the ladder."""
    for number in range(1, 100):
        if "row" not in text:
            break
        text = text.replace(
            f"resumes after row {number}", "cannot go on before the handler returns"
        )
    return text


def _verdict(answer: Answer) -> str:
    text = answer.text
    if answer.verdict is Judgement.HANGS_IF:
        return f"This hangs if {text.removeprefix('Hangs if ')}"
    if answer.verdict is Judgement.HANGS:
        return "The tasks only have to run at the same time to hang."
    if answer.verdict is Judgement.CANNOT_HANG:
        return f"It cannot hang as reported: {text.removeprefix('Cannot hang as reported: ')}"
    if answer.verdict is Judgement.UNDECIDED:
        return f"Whether it can hang depends on this: {text.removeprefix('Undecided: ')}"
    if answer.verdict is Judgement.HUNG:
        return text
    return ""


def _fix(answer: Answer) -> Iterator[str]:
    for fix in answer.fixes[:1]:
        yield fix.removeprefix("Or ")


def _chain(chain: Chain) -> list[str]:
    lines: list[str] = []
    line = " "
    for number, name in enumerate(chain.functions):
        piece = f" -> {name}" if number else f" {name}"
        if len(line) + len(piece) > WIDTH and line.strip():
            lines.append(line)
            line = "   "
        line += piece
    return [*lines, line]


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:] if text.partition(" ")[0] in _ARTICLES else text


_ARTICLES = {"a", "an", "any", "the", "another"}
"""First words that may be written large; the name of a task or a function may not."""


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
