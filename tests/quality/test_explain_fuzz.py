# SPDX-License-Identifier: Apache-2.0
"""Garbage in, no exception out: mutated reports and arbitrary text. The long run is a benchmark."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from hypothesis import given, settings
from hypothesis import strategies as st

from quiesce.explain.log import explain_text
from quiesce.explain.read.find_reports import find_drafts
from quiesce.explain.read.frames import parse_frame
from quiesce.explain.read.kind import all_kinds
from quiesce.explain.read.lock_text import parse_lock
from quiesce.explain.read.log_lines import clean_line
from quiesce.explain.read.read_log import read_text
from quiesce.explain.show import as_html, as_json, as_markdown, as_text

ROOT = Path(__file__).parents[2]
TEXTS = [p.read_text(encoding="utf-8") for p in sorted((ROOT / "tests/data/splats").glob("*.txt"))]
PIECES = [line for text in TEXTS for line in text.split("\n")]
ODD = st.text(alphabet=st.characters(), max_size=30)


def _fuzzer() -> ModuleType:
    """The benchmark's mutations, so that the two cannot drift apart."""
    spec = importlib.util.spec_from_file_location(
        "explain_fuzz", ROOT / "benchmarks/explain_fuzz.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _everything(text: str) -> None:
    log = explain_text(text)
    for one in log.reports:
        assert one.report.kind in {kind.name for kind in all_kinds()}
        assert one.explanation.answer.text
    for render in (as_text.render, as_markdown.render, as_html.render):
        render(log)
    as_json.to_json(log)


def test_damaged_reports_raise_nothing() -> None:
    result = _fuzzer().run(1500, seed=20, folder=ROOT / "tests/data/splats")
    assert result["exceptions"] == 0
    assert result["reports"] > 500  # the mutations leave something to read


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), ODD), max_size=60))
def test_lines_in_any_order_raise_nothing(lines: list[str]) -> None:
    _everything("\n".join(lines))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(TEXTS), st.data())
def test_cut_anywhere_raises_nothing_and_loses_no_other_report(
    text: str, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, len(text)))
    _everything(text[:start] + text[stop:])


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        ODD, st.sampled_from(PIECES).flatmap(lambda p: ODD.map(lambda o: p[:20] + o + p[20:]))
    )
)
def test_the_small_parsers_take_any_line(line: str) -> None:
    parse_frame(line)
    parse_lock(line)
    assert all("\n" not in clean.text or "\n" in line for clean in clean_line(1, line))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(TEXTS), st.integers(1, 400))
def test_the_size_of_the_blocks_does_not_matter(text: str, size: int) -> None:
    blocks = [text[start : start + size] for start in range(0, len(text), size)]
    cut = [(d.title, [line.text for line in d.lines]) for d in find_drafts(blocks)]
    whole = [(d.title, [line.text for line in d.lines]) for d in find_drafts([text])]
    assert cut == whole


def test_long_lines_are_cut_and_many_brackets_are_no_trouble() -> None:
    """Linear, whatever the shape: each of these explodes in a backtracking expression."""
    hostile = [
        "(" * 200_000,
        "[" * 200_000,
        "a." * 100_000 + "+0x",
        "-> #1 (" + "x" * 100_000 + "){",
        "> " * 50_000,
        "[ " * 50_000,
        "+0x1/" * 40_000,
    ]
    text = (
        "=" * 54
        + "\nWARNING: possible circular locking dependency detected\n6.9.0 #1 Not tainted\n"
    )
    _everything(text + "\n".join(hostile))
    assert len(read_text(text + "\n".join(hostile)).reports) == 1
