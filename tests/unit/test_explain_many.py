# SPDX-License-Identifier: Apache-2.0
"""Many logs at once: summaries, lines of JSON, exit codes; and two reports compared."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest
from explain_reports import Step, circular, recursive

from quiesce.cli import main
from quiesce.commands.explain_many import batch_command, compare_command
from quiesce.errors import UsageError
from quiesce.explain.batch import explain_files, files_of, grouped
from quiesce.explain.judge.compare import Likeness, compare
from quiesce.explain.read.model import PrintedReport
from quiesce.explain.read.read_log import read_text

SPLATS = Path(__file__).parents[1] / "data" / "splats"
CYCLE = (
    Step("&a->lock", "__mutex_lock toy_a_take toy_a_write"),
    Step("&b->lock", "__mutex_lock toy_b_take toy_b_write"),
    Step("&c->lock", "__mutex_lock toy_c_take toy_c_write"),
)
FIRST = circular(CYCLE)
ROTATED = circular((*CYCLE[1:], CYCLE[0]), task="other/7", kernel="6.13.0")


def _report(text: str) -> PrintedReport:
    (report,) = read_text(text).reports
    return report


# ---- comparing -------------------------------------------------------------------------------------


def test_one_cycle_from_two_edges_is_the_same_bug() -> None:
    result = compare(_report(FIRST), _report(ROTATED))
    assert result.likeness is Likeness.SAME
    assert result.text == "The same bug: the same cycle of 3 locks, a->lock -> b->lock -> c->lock."
    assert result.reasons == (
        "New edge: c->lock -> a->lock in toy_a_take() in the first, a->lock -> b->lock in toy_b_take() "
        "in the second.",
    )


def test_the_same_report_twice() -> None:
    result = compare(_report(FIRST), _report(FIRST))
    assert result.likeness is Likeness.SAME
    assert result.reasons == ("New edge in both: c->lock -> a->lock in toy_a_take().",)


def test_the_same_classes_elsewhere_are_related_only() -> None:
    other = circular([Step(step.lock, step.functions.replace("toy", "tin")) for step in CYCLE])
    result = compare(_report(FIRST), _report(other))
    assert result.likeness is Likeness.RELATED and "no edge is made in the same" in result.text
    assert "in toy_b_take() in the first, in tin_b_take() in the second" in " ".join(result.reasons)


def test_another_function_at_one_edge_is_named() -> None:
    steps = (*CYCLE[:2], Step("&c->lock", "__mutex_lock tin_c_take tin_c_write"))
    result = compare(_report(FIRST), _report(circular(steps)))
    assert result.likeness is Likeness.SAME
    assert result.reasons[-1] == (
        "b->lock -> c->lock: in toy_c_take() in the first, in tin_c_take() in the second."
    )


def test_two_cycles_with_a_common_edge_are_related() -> None:
    steps = (*CYCLE[:2], Step("&d->lock", "__mutex_lock toy_d_take toy_d_write"))
    result = compare(_report(FIRST), _report(circular(steps)))
    assert result.likeness is Likeness.RELATED
    assert "share the edge a->lock -> b->lock in toy_b_take()" in result.text
    assert any(reason.startswith("Only in the second: ") for reason in result.reasons)


def test_two_cycles_without_one_are_different() -> None:
    steps = [Step(step.lock.replace("&", "&x"), step.functions) for step in CYCLE]
    result = compare(_report(FIRST), _report(circular(steps)))
    assert result.likeness is Likeness.DIFFERENT and "share no edge" in result.text


def test_a_cut_chain_is_never_called_the_same() -> None:
    start = FIRST.index("-> #1")
    cut = FIRST[:start] + FIRST[FIRST.index("-> #0") :]
    result = compare(_report(FIRST), _report(cut))
    assert result.likeness is Likeness.UNKNOWN and "the second report" in result.text
    steps = [Step(step.lock.replace("&", "&x"), step.functions) for step in CYCLE]
    assert compare(_report(circular(steps)), _report(cut)).likeness is Likeness.DIFFERENT


def test_a_chain_that_lacks_only_the_first_link_is_whole() -> None:
    start, end = FIRST.index("-> #0"), FIRST.index("other info that")
    assert compare(_report(FIRST), _report(FIRST[:start] + FIRST[end:])).likeness is Likeness.SAME


def test_numbers_of_devices_in_workqueues_do_not_count() -> None:
    def flush(device: str) -> str:
        return circular(
            [
                Step(
                    f"(wq_completion){device}", "__flush_workqueue toy_flush toy_close", types="0:0"
                ),
                Step("&a->lock", "__mutex_lock toy_work process_one_work"),
            ]
        )

    assert compare(_report(flush("toy0")), _report(flush("toy12"))).likeness is Likeness.SAME
    assert compare(_report(flush("toy0")), _report(flush("tin0"))).likeness is Likeness.DIFFERENT


def test_other_kinds() -> None:
    one = recursive("&a->lock", "__mutex_lock toy_a_take toy_a_write")
    same = recursive("&a->lock", "__mutex_lock toy_a_take toy_a_write", wanted="ffff888100000770")
    assert compare(_report(one), _report(same)).likeness is Likeness.SAME
    result = compare(_report(one), _report(FIRST))
    assert result.likeness is Likeness.DIFFERENT
    assert result.text == "Not the same kind of report: recursive and circular."
    assert result.reasons == ("Both name a->lock.",)


@pytest.mark.parametrize("name", sorted(path.name for path in SPLATS.glob("*.txt")))
def test_every_report_is_the_same_as_itself_and_as_no_other(name: str) -> None:
    """Of our fixtures no two show one bug."""
    (report, *_) = read_text((SPLATS / name).read_text(encoding="utf-8")).reports
    for path in sorted(SPLATS.glob("*.txt")):
        for other in read_text(path.read_text(encoding="utf-8")).reports:
            likeness = compare(report, other).likeness
            if path.name != name:
                assert likeness is not Likeness.SAME, path.name
            elif other == report:
                assert likeness is Likeness.SAME or not report.complete


def test_compare_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other, none = tmp_path / "one", tmp_path / "other", tmp_path / "none"
    one.write_text(FIRST)
    other.write_bytes(gzip.compress((SPLATS / "held_freed.txt").read_bytes() + ROTATED.encode()))
    none.write_text("nothing\n")
    assert main(["explain", str(one), "--compare", str(other)]) == 0
    shown = capsys.readouterr().out
    assert "circular" in shown and "The same bug" in shown  # the pair that is alike was chosen
    assert main(["explain", str(one), "--compare", str(SPLATS / "held_freed.txt")]) == 1
    capsys.readouterr()
    assert main(["explain", str(one), "--compare", str(other), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (
        data["likeness"] == "same" and data["first"]["fingerprint"] == data["second"]["fingerprint"]
    )
    assert main(["explain", str(one), "--compare", str(none)]) == 2
    assert main(["explain", str(one), "--compare", str(tmp_path / "x")]) == 2
    assert main(["explain", str(one), "--compare", str(other), "--markdown"]) == 2
    with pytest.raises(UsageError, match="two logs"):
        compare_command([str(one), str(one)], str(one), out=io.StringIO())


# ---- many logs -------------------------------------------------------------------------------------


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder with two of one problem, one of another, one without, one that is no log."""
    folder = tmp_path / "logs"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text(FIRST)
    (folder / "b.txt.gz").write_bytes(gzip.compress(ROTATED.encode()))
    (folder / "sub" / "c.txt").write_bytes((SPLATS / "held_freed.txt").read_bytes())
    (folder / "d.txt").write_text("all is well\n")
    (folder / "e.elf").write_bytes(b"\x7fELF" + bytes(64))
    (folder / ".hidden").write_text(FIRST)
    return folder


def test_files_of(logs: Path) -> None:
    names = [Path(file).name for file in files_of([str(logs), str(logs / "a.txt")])]
    assert names == ["a.txt", "b.txt.gz", "d.txt", "e.elf", "c.txt"]
    with pytest.raises(UsageError, match="no such file"):
        files_of([str(logs / "nowhere")])


def test_summary(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(logs)]) == 3  # one file is no log
    shown, told = capsys.readouterr()
    assert shown.startswith("5 files, 3 with reports; 3 reports, 2 different problems\n")
    assert "    2x circular " in shown and "a.txt:2 and 1 more in 2 files" in shown
    assert "e.elf is not a log but an ELF file" in told
    (logs / "e.elf").unlink()
    capsys.readouterr()
    code = main(["explain", str(logs), "--quiet"])
    shown, told = capsys.readouterr()
    assert shown.count("\n") == 2 and told == ""
    assert code == 3  # our generated reports lack the scenario


def test_lines_of_json(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(logs), "--jsonl"]) == 3
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    *reports, last = lines
    assert [Path(line["file"]).name for line in reports] == ["a.txt", "b.txt.gz", "e.elf", "c.txt"]
    assert "error" in reports[2] and reports[0]["fingerprint"] == reports[1]["fingerprint"]
    assert {"verdict", "answer", "kind", "line"} <= reports[0].keys() and "proof" not in reports[0]
    summary = last["summary"]
    assert summary["files"] == 5 and summary["reports"] == 3 and summary["files_not_read"] == 1
    assert [problem["count"] for problem in summary["problems"]] == [2, 1]


def test_fail_on(logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (logs / "e.elf").unlink()
    assert main(["explain", str(logs), "--fail-on", "hangs"]) == 1
    assert main(["explain", str(logs / "sub"), "--fail-on", "hangs"]) == 0
    assert main(["explain", str(logs / "sub"), "--fail-on", "misuse"]) == 1
    assert main(["explain", str(logs / "a.txt"), "--fail-on", "hangs"]) == 1
    assert main(["explain", str(logs / "sub" / "c.txt"), "--fail-on", "hangs"]) == 0
    assert main(["explain", str(logs / "sub" / "c.txt"), "--fail-on", "any"]) == 1
    assert main(["explain", str(logs / "d.txt"), "--fail-on", "any"]) == 0
    both = ["--fail-on", "undecided", "--fail-on", "misuse"]
    assert main(["explain", str(logs / "sub" / "c.txt"), *both]) == 1
    capsys.readouterr()


def test_one_core_and_many_find_the_same(tmp_path: Path) -> None:
    for number in range(30):
        steps = [Step(f"&x{number % 4}->lock", step.functions) for step in CYCLE[:1]] + [CYCLE[1]]
        (tmp_path / f"{number:02}.txt").write_text(circular(steps))
    files = files_of([str(tmp_path)])
    alone = list(explain_files(files, cores=1))
    assert list(explain_files(files, cores=2)) == alone
    assert [len(group.found) for group in grouped(alone)] == [8, 8, 7, 7]
    assert [result.file for result in alone] == files


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        batch_command([str(tmp_path)], out=io.StringIO())
    (tmp_path / "a").write_bytes(b"\x7fELF")
    with pytest.raises(UsageError, match="no log is in"):
        batch_command([str(tmp_path)], out=io.StringIO())


@pytest.mark.parametrize("option", ["--json", "--markdown", "--commit", "--html=x", "--model=x"])
def test_options_that_do_not_go_together(logs: Path, option: str) -> None:
    assert main(["explain", str(logs), option]) == 2
    assert main(["explain", str(logs / "a.txt"), "--jsonl", option]) == 2
