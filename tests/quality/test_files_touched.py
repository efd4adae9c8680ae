# SPDX-License-Identifier: Apache-2.0
"""How many files a change touches: the measure of the house, with a toy of each kind added and used."""

from __future__ import annotations

import ast
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from toy_addition import PACKAGE, Addition

from quiesce.properties import BUILT_IN

ENGINES = ["reference", "native"]
MOST_FOR_A_PROPERTY = 3

USER = """
from quiesce.protocol import Int, Scenario, thread{imports}


class Divider(Scenario):
    divisor = Int(1, low=0, high=9, marked=True)
    answer = Int(0, low=0, high=9, marked=True)

    @thread()
    def change(self) -> None:
        self.divisor = {zero}

    @thread()
    def divide(self) -> None:
        self.answer = 9 // self.divisor
{more}
"""


def checked(
    addition: Addition, folder: Path, engine: str, zero: int, imports: str = "", more: str = ""
) -> dict[str, Any]:
    """Check the scenario with the addition in place; return what ``--json`` prints."""
    if engine == "native" and importlib.util.find_spec("numba") is None:
        pytest.skip("numba is not installed")
    file = folder / "divider.py"
    file.write_text(USER.format(zero=zero, imports=imports, more=more), encoding="utf-8")
    done = addition.run(folder, "check", str(file), "--all", "--json", "--explorer", engine)
    assert done.returncode in (0, 1, 3), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["engine"] == engine
    return found


def of_name(result: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [p for p in result["properties"] if p["name"] == name]
    assert isinstance(found, dict)
    return found


FAILED_STEP = Addition()
FAILED_STEP.before(
    "properties.py",
    "    ENDLESS_STEP = ",
    """    DIVISION = "bad division", "a division by zero", About.VALUES\n""",
)
FAILED_STEP.replace("properties.py", """        ("division", FindingKind.OUT_OF_RANGE),\n""", "")
FAILED_STEP.before(
    "properties.py",
    "NO_LIVELOCK = ",
    """
NO_BAD_DIVISION = BuiltInKind(
    "division", (FindingKind.DIVISION,), "no_bad_division", (("division", FindingKind.DIVISION),)
)
""",
)
FAILED_STEP.before("properties.py", "    NO_LIVELOCK,\n", "    NO_BAD_DIVISION,\n")
"""A built-in property that a failed step breaks."""


@pytest.mark.parametrize("engine", ENGINES)
def test_a_property_that_a_failed_step_breaks(tmp_path: Path, engine: str) -> None:
    assert FAILED_STEP.files == 1
    bad = of_name(checked(FAILED_STEP, tmp_path, engine, 0), "no_bad_division")
    assert (bad["kind"], bad["verdict"], bad["finding"]) == (
        "division",
        "violation",
        "bad division",
    )
    good = of_name(checked(FAILED_STEP, tmp_path, engine, 2), "no_bad_division")
    assert (good["verdict"], good["finding"]) == ("holds", None)


def test_its_replay_proves_it_again(tmp_path: Path) -> None:
    token = checked(FAILED_STEP, tmp_path, "reference", 0)["replay"]
    done = FAILED_STEP.run(tmp_path, "replay", token)
    assert done.returncode == 1, done.stderr
    assert "bad division" in done.stdout and "proved again" in done.stdout


DECLARED = Addition()
DECLARED.before(
    "properties.py",
    "    VACUOUS = ",
    """    UNMET_WISH = "unmet wish", "a wish is not met", About.VALUES\n""",
)
DECLARED.before(
    "properties.py",
    "BROKEN_BY = ",
    """
WISHED = DeclaredKind(
    "wished",
    (FindingKind.UNMET_WISH,),
    Quantifier.EVERY_STATE,
    "the wish `{name}` is not met here",
    informational=True,
)

""",
)
DECLARED.before("protocol/scenario.py", "ALWAYS, EVENTUALLY", "WISHED, ")
DECLARED.before(
    "protocol/scenario.py",
    "def sometimes(",
    """
def wished(method: F) -> F:
    return _property(WISHED, method)


""",
)
DECLARED.before("protocol/__init__.py", "Scenario, always", "wished, ")
DECLARED.before("protocol/__init__.py", '    "sometimes",', """    "wished",\n""")
"""A property that methods declare; it decides nothing unless it says so."""

WISH = """
    @wished
    def even(self) -> bool:
        return self.divisor {compared}
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_a_property_that_methods_declare(tmp_path: Path, engine: str) -> None:
    assert DECLARED.files <= MOST_FOR_A_PROPERTY
    result = checked(DECLARED, tmp_path, engine, 2, ", wished", WISH.format(compared="< 2"))
    bad = of_name(result, "even")
    assert (bad["kind"], bad["finding"], bad["informational"]) == ("wished", "unmet wish", True)
    assert bad["message"] == "the wish `even` is not met here"
    assert result["verdict"] == "holds" and result["counterexample"] is None
    result = checked(DECLARED, tmp_path, engine, 2, ", wished", WISH.format(compared="< 3"))
    assert of_name(result, "even")["verdict"] == "holds"


DECIDED = Addition()
DECIDED.before(
    "properties.py",
    "    VACUOUS = ",
    """    DEEP = "deep space", "a state is more than 3 steps away", About.NO_RUN\n""",
)
DECIDED.before(
    "properties.py",
    "BUILT_IN = (",
    """SHALLOW = BuiltInKind("deep", (FindingKind.DEEP,), "shallow", informational=True)\n\n""",
)
DECIDED.after("properties.py", "BUILT_IN = (\n", "    SHALLOW,\n")
for explorer in ("reference/checker", "native/check"):
    DECIDED.after(
        f"explorer/{explorer}.py",
        "from __future__ import annotations\n",
        "from quiesce.properties import SHALLOW, FindingKind\n",
    )
DECIDED.before(
    "explorer/reference/checker.py",
    "            NO_DEADLOCK:",
    "            SHALLOW: self._deep,\n",
)
DECIDED.before(
    "explorer/reference/checker.py",
    "    def _stuck(",
    """
    def _deep(self, graph):
        deep = max(graph.depth) > 3
        return Finding(FindingKind.DEEP, SHALLOW.name, "deep") if deep else None

""",
)
DECIDED.before(
    "explorer/native/check.py",
    "            built_in(NO_DATA_RACE,",
    """
            built_in(
                SHALLOW,
                Finding(FindingKind.DEEP, SHALLOW.name, "deep") if self.search.depth > 3 else None,
            ),
""",
)
"""A built-in property that each explorer has to decide."""

MORE_STEPS = """
    @thread()
    def more(self) -> None:
        self.divisor = 1
        self.divisor = 2
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_a_property_that_the_explorers_decide(tmp_path: Path, engine: str) -> None:
    assert DECIDED.files <= MOST_FOR_A_PROPERTY
    found = of_name(checked(DECIDED, tmp_path, engine, 2, "", MORE_STEPS), "shallow")
    assert (found["finding"], found["informational"]) == ("deep space", True)
    found = of_name(checked(DECIDED, tmp_path, engine, 2), "shallow")
    assert (found["verdict"], found["finding"]) == ("holds", None)


LOCK = '''
"""A lock that is tried until it is free."""

from quiesce.primitives.base import Lock
from quiesce.protocol import Bool, atomic, wait_until


class ToyLock(Lock):
    """Held by one thread."""

    taken = Bool()

    @atomic
    def lock(self) -> None:
        wait_until(lambda: not self.taken)
        self.taken = True

    @atomic
    def unlock(self) -> None:
        self.taken = False
'''

LOCKED = """
from quiesce.primitives.toy_lock import ToyLock
from quiesce.protocol import Int, Scenario, always, thread


class Locked(Scenario):
    inside = Int(0, low=0, high=2)

    def __init__(self) -> None:
        self.toy = ToyLock()

    @thread(2)
    def enter(self) -> None:
        self.toy.lock()
        self.inside += 1
        self.inside -= 1
        {leave}

    @always
    def one(self) -> bool:
        return self.inside <= 1
"""


def test_a_lock_primitive_is_one_file(tmp_path: Path) -> None:
    addition = Addition(new={"primitives/toy_lock.py": LOCK})
    assert addition.files == 1
    for leave, verdict in (("self.toy.unlock()", "holds"), ("pass", "violation")):
        file = tmp_path / "locked.py"
        file.write_text(LOCKED.format(leave=leave), encoding="utf-8")
        done = addition.run(tmp_path, "check", str(file), "--json")
        assert done.returncode in (0, 1), done.stderr
        assert json.loads(done.stdout)["verdict"] == verdict


def test_no_other_file_spells_the_name_of_a_built_in_property() -> None:
    """A name that is spelled is compared, and then a new kind has to be added there, too."""
    names = {kind.name for kind in BUILT_IN}
    spelling = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in names:
                spelling.add(path.relative_to(PACKAGE).as_posix())
    assert spelling == {"properties.py", "kvm/planted/table.py"}  # a table of expected outcomes
