# SPDX-License-Identifier: Apache-2.0
"""Expected outcomes: exit code 0 exactly when a check comes out as its scenario or its user says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import report_schema
from test_cli import Ran, without_times

from quiesce.cli import main

EXAMPLE = str(Path(__file__).parents[2] / "examples" / "withdraw.py")

FAILING = """
from quiesce.protocol import Bool, Int, Scenario, always, thread


class Failing(Scenario):
    expect = {expect}
    ready = Bool(marked=True)
    count = Int(0, high=3, marked=True)

    @thread(2)
    def user(self) -> None:
        self.count += 1
        assert not self.ready, "used too late"
        self.ready = True

    @always
    def few(self) -> bool:
        return self.count < {limit}
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def command(*argv: str) -> Ran:
        capsys.readouterr()
        try:
            code = main(argv)
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return command


@pytest.fixture
def failing(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a scenario with a failing assertion and returns its path."""

    def write(expect: object, limit: int = 9) -> str:
        path = tmp_path / "failing.py"
        path.write_text(FAILING.format(expect=expect, limit=limit), encoding="utf-8")
        return str(path)

    return write


@pytest.mark.parametrize(
    ("arguments", "code", "headline"),
    [
        ([], 0, "VIOLATION, as expected"),
        (["--set", "fix=lock"], 0, "HOLDS, as expected"),
        (["--set", "fix=lock", "--expect", "never_below_zero=violated"], 1, "HOLDS, not as expected"),
        (["--expect", "never_below_zero=holds"], 1, "VIOLATION, not as expected"),
        (["--expect", "no_deadlock=violated"], 1, "VIOLATION, not as expected"),
        (["--max-states", "3"], 3, "INCOMPLETE"),
        (["--ignore", "never_below_zero"], 0, "HOLDS, as expected"),
        (["--only", "no_deadlock"], 0, "HOLDS, as expected"),
    ],
)  # fmt: skip
def test_the_exit_code_says_whether_it_came_out_so(
    run: Callable[..., Ran], arguments: list[str], code: int, headline: str
) -> None:
    found, out, err = run("check", EXAMPLE, *arguments)
    assert (found, err) == (code, "")
    assert out.startswith(f"{headline}  ")
    found, out, _ = run("check", EXAMPLE, *arguments, "--json")
    assert found == code
    assert json.loads(out)["as_expected"] is {0: True, 1: False, 3: None}[code]


def test_an_unexpected_violation_is_shown_before_an_expected_one(
    run: Callable[..., Ran], failing: Callable[..., str]
) -> None:
    file = failing({"assertions": "violated"}, limit=2)
    code, out, _ = run("check", file)
    assert code == 1
    assert "broken invariant: `few` is false here" in out
    assert "failed assert:" not in out
    code, out, _ = run("check", file, "--all")
    assert "failed assert:" in out


def test_what_an_expected_failure_leaves_open_is_expected(
    run: Callable[..., Ran], failing: Callable[..., str]
) -> None:
    code, out, _ = run("check", failing({"assertions": "violated"}))
    assert code == 0
    assert "not decided" in out
    code, _, _ = run("check", failing({"assertions": "violated", "few": "violated"}))
    assert code == 3
    # Ignoring the assertion does not make known what comes after it.
    code, _, _ = run("check", failing({}), "--ignore", "assertions")
    assert code == 3


@pytest.mark.parametrize(
    ("expect", "arguments", "words"),
    [
        ({"no_such": "violated"}, [], "Failing has no property `no_such`"),
        ({}, ["--only", "no_such"], "Failing has no property `no_such`"),
        ({}, ["--ignore", "no_such"], "Failing has no property `no_such`"),
        ({"few": "broken"}, [], "`broken` cannot be expected of few"),
        ({"few": 3}, [], "Failing.expect is dict"),
        (["few"], [], "Failing.expect is list"),
        ({}, ["--expect", "few"], "there is no `=`"),
        ({}, ["--expect", "few=violated", "--ignore", "few"], "the property is ignored"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    run: Callable[..., Ran],
    failing: Callable[..., str],
    expect: object,
    arguments: list[str],
    words: str,
) -> None:
    code, out, err = run("check", failing(expect), *arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_a_variable_may_be_called_expect(
    run: Callable[..., Ran], failing: Callable[..., str]
) -> None:
    code, out, _ = run("check", failing("Int(0, high=3)"))
    assert code == 1
    assert "expected" not in out


# --- compare ------------------------------------------------------------------------------------------


def test_candidate_fixes_side_by_side(
    run: Callable[..., Ran], golden: Callable[[str, str], None]
) -> None:
    code, out, err = run("compare", EXAMPLE, "--over", "fix")
    assert (code, err) == (0, "")
    lines = out.replace(EXAMPLE, "withdraw.py").splitlines()
    golden("explorer/compare.txt", "\n".join(x for x in lines if "seconds" not in x) + "\n")
    assert max(map(len, lines)) <= 80


def test_the_json_of_a_comparison(run: Callable[..., Ran]) -> None:
    code, out, _ = run("compare", EXAMPLE, "--over", "fix=none,atomic", "--json")
    assert code == 0
    data = json.loads(out)
    assert report_schema.problems(data, "compare") == []
    assert [v["value"] for v in data["variants"]] == ["none", "atomic"]
    assert data["variants"][0]["replay"]
    assert data["differences"][0]["end"]


def test_a_comparison_with_an_unexpected_variant_fails(run: Callable[..., Ran]) -> None:
    code, out, _ = run("compare", EXAMPLE, "--over", "fix", "--expect", "never_below_zero=holds")
    assert code == 1
    assert "NO" in out


def test_numbers_are_compared_in_several_tables_where_one_is_too_wide(
    run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("many.py")
    file.write_text(
        "from quiesce.protocol import Int, Scenario, thread\n"
        "class Many(Scenario):\n"
        "    x = Int(0, high=9)\n"
        "    def __init__(self, n: int = 1) -> None:\n"
        "        self.n = n\n"
        "    @thread('n')\n"
        "    def user(self) -> None:\n"
        "        self.x += 1\n",
        encoding="utf-8",
    )
    code, out, _ = run("compare", str(file), "--over", "n=1..9")
    assert code == 1
    assert max(map(len, out.splitlines())) <= 80
    assert out.count("verdict") == 2
    assert "n=2 and n=9 fail no_data_race by the same run." in out


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ("fxi", "Withdraw has no parameter `fxi`"),
        ("fix=none", "nothing to compare with 1 values"),
        ("fix=none,none", "nothing to compare with 1 values"),
    ],
)
def test_a_comparison_of_nothing_is_refused(run: Callable[..., Ran], over: str, words: str) -> None:
    code, out, err = run("compare", EXAMPLE, "--over", over)
    assert (code, out) == (2, "")
    assert words in err


def test_values_that_no_type_tells_are_asked_for(run: Callable[..., Ran], tmp_path: Path) -> None:
    file = tmp_path / "unknown.py"
    file.write_text(
        "from quiesce.protocol import Scenario, thread\n"
        "class Unknown(Scenario):\n"
        "    def __init__(self, fix: str = 'a') -> None:\n"
        "        self.fix = fix\n"
        "    @thread()\n"
        "    def user(self) -> None:\n"
        "        pass\n",
        encoding="utf-8",
    )
    code, _, err = run("compare", str(file), "--over", "fix")
    assert code == 2
    assert "--over fix=VALUE,VALUE" in err


def test_the_text_of_every_finding(
    run: Callable[..., Ran], failing: Callable[..., str], golden: Callable[[str, str], None]
) -> None:
    file = failing({}, limit=2)
    code, out, _ = run("check", file, "--all")
    assert code == 1
    golden("explorer/all_findings.txt", without_times(out.replace(file, "failing.py")))
