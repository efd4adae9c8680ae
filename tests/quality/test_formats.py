# SPDX-License-Identifier: Apache-2.0
"""The forms of a result: SARIF against its official schema, JUnit against its readers, annotations, pages."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from toy_addition import Addition

from quiesce.cli import main
from quiesce.report import formats

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "tests" / "data" / "schemas" / "sarif-2.1.0.json"
SPLATS = ROOT / "tests" / "data" / "splats"

RACE = """
from quiesce.protocol import Int, Scenario, always, sometimes, thread


class Race(Scenario):
    n = Int(0, low=0, high=3)

    @thread(2)
    def work(self) -> None:
        self.n = 1
        assert self.n < {limit}

    @sometimes
    def large(self) -> bool:
        return self.n == 3
"""

FINE = """
from quiesce.protocol import Int, Scenario, always, thread


class Fine(Scenario):
    n = Int(0, low=0, high=3, marked=True)

    @thread(2)
    def work(self) -> None:
        self.n = 1

    @always
    def small(self) -> bool:
        return self.n < 2
"""


def given(name: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return the exit code and what the format *name* prints."""
    code = main([*words, "--format", name])
    return code, capsys.readouterr().out


@pytest.fixture
def race(tmp_path: Path) -> str:
    file = tmp_path / "race, 100%.py"
    file.write_text(RACE.format(limit=1), encoding="utf-8")
    return str(file)


@pytest.fixture
def fine(tmp_path: Path) -> str:
    file = tmp_path / "fine.py"
    file.write_text(FINE, encoding="utf-8")
    return str(file)


# --- SARIF ----------------------------------------------------------------------------------------------


def valid_sarif(text: str) -> dict[str, Any]:
    """Return the one run of *text*, which must be valid against the official schema."""
    jsonschema = pytest.importorskip("jsonschema")
    data = json.loads(text)
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.validators.validator_for(schema)(schema).validate(data)
    (run,) = data["runs"]
    assert isinstance(run, dict)
    return run


COMMANDS = [
    ["kvm", "check", "--design", "rwsem"],
    ["kvm", "check", "--design", "count"],
    ["kvm", "run", "--design", "always_lock", "--seconds", "0.2"],
    ["explain", str(SPLATS / "circular_2012.txt")],
    ["explain", str(SPLATS / "hard_lockup.txt")],
    ["explain", str(ROOT / "README.md")],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_sarif_is_valid(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    _, text = given("sarif", words, capsys)
    run = valid_sarif(text)
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


def test_sarif_of_a_check(race: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = given("sarif", ["check", race, "--all"], capsys)
    assert code == 1
    run = valid_sarif(text)
    assert run["invocations"][0]["exitCode"] == 1
    found = {result["ruleId"]: result for result in run["results"]}
    assert {"data-race", "failed-assert"} <= found.keys()
    place = found["failed-assert"]["locations"][0]["physicalLocation"]
    assert (
        place["region"]["startLine"]
        == RACE.splitlines().index("        assert self.n < {limit}") + 1
    )
    assert place["artifactLocation"]["uri"].endswith("race%2C%20100%25.py")
    (flow,) = found["failed-assert"]["codeFlows"]
    order = [at["executionOrder"] for t in flow["threadFlows"] for at in t["locations"]]
    assert sorted(order) == list(range(1, len(order) + 1))
    # What is not decided is not evidence of a fault.
    assert all(r["level"] == "none" for r in run["results"] if r["kind"] == "open")


def test_sarif_of_what_holds_has_no_result(fine: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = given("sarif", ["check", fine], capsys)
    assert code == 0 and valid_sarif(text)["results"] == []


def test_the_fingerprint_of_a_problem_stays(race: str, capsys: pytest.CaptureFixture[str]) -> None:
    runs = []
    for above in ("", "# A comment.\n\n\n"):
        Path(race).write_text(above + RACE.format(limit=1), encoding="utf-8")
        runs.append(valid_sarif(given("sarif", ["check", race, "--all"], capsys)[1]))
    first, second = ([r.get("partialFingerprints") for r in run["results"]] for run in runs)
    assert first == second and any(first)
    places = [r["locations"][0].get("physicalLocation") for run in runs for r in run["results"]]
    lines = [place["region"]["startLine"] for place in places if place is not None]
    half = len(lines) // 2
    assert half and [line + 3 for line in lines[:half]] == lines[half:]


def test_an_invalid_sarif_is_noticed(fine: str, capsys: pytest.CaptureFixture[str]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    text = given("sarif", ["check", fine], capsys)[1].replace('"results"', '"result"')
    with pytest.raises(jsonschema.ValidationError):
        valid_sarif(text)


# --- JUnit ----------------------------------------------------------------------------------------------

ELEMENTS = {
    "testsuites": {"name", "tests", "failures", "errors", "skipped", "time"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time"},
    "testcase": {"classname", "name"},
    "failure": {"message", "type"},
    "error": {"message", "type"},
    "skipped": {"message"},
}
"""What the readers of Jenkins, GitLab and GitHub's actions know, and the attributes that they need."""


def junit(text: str) -> ET.Element:
    """Return the tree of *text*; its counts must be those of its elements."""
    root = ET.fromstring(text)
    assert root.tag == "testsuites"
    for element in root.iter():
        assert ELEMENTS[element.tag] == set(element.attrib), element.tag
    for counted in [root, *root.iter("testsuite")]:
        cases = list(counted.iter("testcase"))
        assert int(counted.attrib["tests"]) == len(cases)
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(counted.attrib[name]) == len(list(counted.iter(tag)))
    return root


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_junit_is_well_formed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    junit(given("junit", words, capsys)[1])


def test_junit_of_a_check(race: str, fine: str, capsys: pytest.CaptureFixture[str]) -> None:
    root = junit(given("junit", ["check", race, "--all"], capsys)[1])
    ended = {case.attrib["name"]: [e.tag for e in case] for case in root.iter("testcase")}
    assert ended["assertions"] == ["failure"] and ended["no_data_race"] == ["failure"]
    # A failed step cuts the space: what comes after it is not decided, which is not a pass.
    assert ended["no_deadlock"] == ["error"]
    root = junit(given("junit", ["check", fine], capsys)[1])
    assert root.attrib["failures"] == root.attrib["errors"] == "0"


def test_what_was_expected_passes(race: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["check", race, "--all", "--expect", "no_data_race=violated", "--ignore", "assertions"]
    root = junit(given("junit", words, capsys)[1])
    ended = {case.attrib["name"]: [e.tag for e in case] for case in root.iter("testcase")}
    assert ended["no_data_race"] == [] and ended["assertions"] == ["skipped"]
    words = ["check", race, "--all", "--expect", "no_deadlock=violated"]
    _, text = given("sarif", words, capsys)
    levels = {r["ruleId"]: r["level"] for r in valid_sarif(text)["results"]}
    assert levels["data-race"] == "error"


# --- Annotations ----------------------------------------------------------------------------------------


def test_annotations_stand_beside_the_line(race: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = given("github", ["check", race, "--all"], capsys)
    assert code == 1
    lines = text.splitlines()
    assert all(line.startswith(("::error ", "::warning ", "::notice ")) for line in lines)
    (line,) = [line for line in lines if "failed-assert" in line]
    fields = dict(f.split("=", 1) for f in line.removeprefix("::error ").split("::")[0].split(","))
    assert fields["file"].endswith("race%2C 100%25.py")
    assert fields["line"] == "11" and fields["title"] == "quiesce%3A failed-assert"


def test_what_holds_has_no_annotation(fine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert given("github", ["check", fine], capsys) == (0, "")


def test_annotations_can_follow_the_text(race: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", race, "--format", "text", "--format", "github"])
    out = capsys.readouterr().out
    assert out.startswith("VIOLATION") and "\n::error " in out


# --- The option -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["json", "text", "markdown"])
def test_a_format_is_the_same_in_a_file(
    name: str, fine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, shown = given(name, ["explain", str(SPLATS / "circular_2012.txt")], capsys)
    file = tmp_path / "out"
    main(["explain", str(SPLATS / "circular_2012.txt"), "--format", f"{name}={file}"])
    assert file.read_text(encoding="utf-8") == shown


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--format", "pdf"], "`pdf` is not a format; formats: "),
        (["--format", "sarif="], "names no file"),
        (["--format", "sarif", "--format", "junit"], "exclude each other on standard output"),
        (["--json", "--format", "text"], "exclude each other on standard output"),
        (["--format", "sarif=x/y/z"], "--format sarif x/y/z cannot be written"),
        (["--format", "sarif=out", "--format", "junit=out"], "which this command uses"),
    ],
)
def test_wrong_formats(
    words: list[str], says: str, fine: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    try:
        code: object = main(["check", fine, *words])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_every_format_writes_every_command(
    race: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, words in enumerate([["check", race], *COMMANDS[2:5]]):
        files = {name: tmp_path / f"{number}.{name}" for name in formats.names()}
        options = [w for name, file in files.items() for w in ("--format", f"{name}={file}")]
        main([*words, *options])
        capsys.readouterr()
        for name, file in files.items():
            text = file.read_text(encoding="utf-8")
            # A run that finds nothing has no annotation.
            assert text.endswith("\n") or (name == "github" and not text), file


CSV = '''
"""Problems as lines of a table."""


def write(document, style):
    return "".join(f"{p.rule.id};{p.message}\\n" for p in document.problems())
'''


def test_a_new_format_is_one_file(race: str, tmp_path: Path) -> None:
    addition = Addition(new={"report/formats/csv.py": CSV})
    assert addition.files == 1
    done = addition.run(tmp_path, "check", race, "--format", "csv")
    assert done.returncode == 1 and done.stdout.startswith("data-race;data race: n: ")
    done = addition.run(tmp_path, "explain", str(SPLATS / "circular_2012.txt"), "--format", "csv")
    assert done.stdout.startswith("circular;Hangs if ")
