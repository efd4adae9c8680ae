# SPDX-License-Identifier: Apache-2.0
"""A kind of report is one object in read/ and one in judge/: a toy kind added from outside works."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import DATA

from quiesce.explain.judge import kind as judging
from quiesce.explain.judge.answer import Answer, Judgement
from quiesce.explain.judge.explanation import Explanation
from quiesce.explain.judge.kind import Judge
from quiesce.explain.judge.places import all_notes
from quiesce.explain.log import explain_text
from quiesce.explain.read import kind as reading
from quiesce.explain.read.kind import ReportKind
from quiesce.explain.read.model import PrintedReport
from quiesce.explain.read.reader import ReportReader
from quiesce.explain.show import as_html, as_json, as_markdown, as_text

REPORT = """\
=====================================
WARNING: kettle boils with lid locked
6.9.0-toy #1 Not tainted
-------------------------------------
the lid was locked by chef/7
1 lock held by chef/4242:
 #0: ffff888012869e20 (&kettle->lid){+.+.}-{3:3}, at: boil+0x1c/0x40 [kettle]

stack backtrace:
Call Trace:
 dump_stack_lvl+0x6f/0xb0
 boil+0x2f/0x40 [kettle]
"""


def _locked_by(reader: ReportReader, text: str, number: int) -> None:
    reader.facts["cook"] = text.rpartition(" ")[2]


def _explain(report: PrintedReport) -> Explanation:
    return Explanation(
        Answer(
            Judgement.MISUSE,
            f"Misuse: {report.task} boils although {report.facts['cook']} locked the lid.",
            fixes=("Open the lid.",),
        ),
        locks=all_notes(report),
    )


@pytest.fixture
def kettle() -> Iterator[None]:
    reading.register(
        ReportKind(
            "kettle",
            titles=("kettle boils with lid locked",),
            triggers=("lid locked",),
            phrases={"was locked by": _locked_by},
        )
    )
    judging.register(Judge("kettle", _explain))
    yield
    reading.unregister("kettle")
    judging.unregister("kettle")


@pytest.mark.usefixtures("kettle")
def test_a_toy_kind_is_found_read_explained_and_shown() -> None:
    log = explain_text(f"boot\n{REPORT}\nlogin:\n")
    (one,) = log.reports
    assert (one.report.kind, one.report.complete) == ("kettle", True)
    assert one.explanation.answer.text == "Misuse: chef/4242 boils although chef/7 locked the lid."
    assert [note.name for note in one.explanation.locks] == ["&kettle->lid"]
    assert one.proof.verdict == "not_modelled"
    for text in (as_text.render(log), as_markdown.render(log), as_html.render(log)):
        # In Markdown what comes from the log is code.
        assert "chef/7 locked the lid" in text.replace("`", "") and "Open the lid" in text
    assert '"kind": "kettle"' in as_json.to_json(log)


def test_without_its_objects_the_toy_kind_is_not_known() -> None:
    assert explain_text(REPORT).reports == ()


def test_a_kind_is_registered_once() -> None:
    splat = (DATA / "splats" / "circular_two_mutexes.txt").read_text(encoding="utf-8")
    assert explain_text(splat).reports, "reading and judging a report loads all kinds"
    with pytest.raises(ValueError, match="registered twice"):
        reading.register(ReportKind("circular"))
    with pytest.raises(ValueError, match="two judges"):
        judging.register(Judge("rcu", _explain))
