# SPDX-License-Identifier: Apache-2.0
"""Markdown of logs: whatever the names are, a forge finds nothing in them to link, mention or load."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quiesce.explain.log import explain_text
from quiesce.explain.show import as_markdown
from quiesce.report.markdown import Prose, block, code

NAMES = [
    "@torvalds", "#123", "![x](http://evil/x.png)", "[x](javascript:alert(1))", "<img src=x onerror=a()>",
    "https://evil.example/?a=b", "www.evil.example", "`", "``", "a`b", "`a", "a``b`", "*bold*", "_it_",
    "~~no~~",
    "a|b", "\\", "&lt;b&gt;", "org/repo#1", "GH-12345", "deadbeefdeadbeef", "- item", "# head", "> quote",
    "two  blanks", "(", ")", "&(&zone->lock)->rlock", "$x$", "{{x}}", "::warning::", "x@y.example", "|---|",
]  # fmt: skip

SPAN = re.compile(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)")
"""A span of code, as CommonMark finds it: it ends at the next run of as many backticks."""


def outside_code(text: str) -> str:
    """Return what Markdown reads of *text*: without its blocks and spans of code."""
    text = re.sub(r"^(`{3,})$.*?^\1$", "", text, flags=re.M | re.S)
    return SPAN.sub("", text)


def test_outside_code_is_what_it_says() -> None:
    assert outside_code("a `b` c ``d ` e`` f\n```\n@g\n```\n") == "a  c  f\n\n"


def spans(text: str) -> list[str]:
    """Return the contents of the spans of code, as they are shown."""
    found = [match[2] for match in SPAN.finditer(text)]
    return [s[1:-1] if s[:1] == s[-1:] == " " and s.strip() else s for s in found]


def log_with(wanted: str, held: str, task: str = "qemu") -> str:
    """Return a report of a circle of two locks with these names."""
    return f"""\
======================================================
WARNING: possible circular locking dependency detected
5.12.0-rc3+ #6 Tainted: G           OE
------------------------------------------------------
{task}/3069 is trying to acquire lock:
ffffffff9c775ca0 ({wanted}){{+.+.}}-{{3:3}}, at: FUN_A+0x5/0x190

but task is already holding lock:
ffffaff7410a9160 ({held}){{+.+.}}-{{3:3}}, at: FUN_B+0x36d/0x4f0 [kvm]

which lock already depends on the new lock.

the existing dependency chain (in reverse order) is:

-> #1 ({held}){{+.+.}}-{{3:3}}:
       __mutex_lock+0x48/0x250
       FUN_B+0x36d/0x4f0 [kvm]

-> #0 ({wanted}){{+.+.}}-{{3:3}}:
       __lock_acquire+0x1/0x2
       lock_acquire+0x1/0x2
       FUN_A+0x5/0x190
"""


ACTIVE = re.compile(r"[@<`~$]|\]\(|!\[|://|www\.|javascript|\bevil\b|GH-|deadbeef")
"""What a forge or a browser would act on, and what our own sentences never have."""


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_a_log_is_code(name: str) -> None:
    text = as_markdown.render(explain_text(log_with(name, "B" + name, task=name.replace("/", ""))))
    assert text
    assert not ACTIVE.search(outside_code(text))


def test_a_name_keeps_its_text() -> None:
    text = as_markdown.render(explain_text(log_with("@torvalds", "&kvm->slots_lock")))
    shown = set(spans(text))
    assert {"@torvalds", "FUN_A()"} <= shown
    assert any("slots_lock" in span for span in shown)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
@example("`")
@example(" ` ")
@example("a``")
def test_code_is_one_span(name: str) -> None:
    spelled = code(name)
    match = SPAN.fullmatch(spelled)
    assert match is not None or not name.strip()


@given(st.lists(st.sampled_from([*NAMES, "lock", "A", "CPU0"]), max_size=3), st.data())
def test_prose_is_words(names: list[str], data: st.DataObject) -> None:
    """Whether a name is known or not, only words and numbers are left outside of code."""
    known = data.draw(st.lists(st.sampled_from(names))) if names else []
    sentence = "A task that holds " + ", which waits for ".join(names) + " (see there)."
    left = outside_code(Prose(known)(sentence))
    assert re.fullmatch(r"[A-Za-z0-9 (),.;:!?\"'/-]*", left)
    assert not ACTIVE.search(left)


def test_known_names_are_code_whatever_they_look_like() -> None:
    prose = Prose(["Big Lock", "tty", "A"])
    assert (
        prose("A holds Big Lock, Bigger Locks do not.")
        == "`A` holds `Big Lock`, Bigger Locks do not."
    )
    assert prose("the tty of the tty") == "the tty of the tty", "a word is not told from the others"
    assert prose("1. is not a list") == "`1`. is not a list"
    assert prose("down_read(&a->b): it waits") == "`down_read(&a->b)`: it waits"


def test_a_block_ends_where_it_should() -> None:
    assert block("a\n```\nb") == ["````", "a\n```\nb", "````"]
