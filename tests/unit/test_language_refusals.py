# SPDX-License-Identifier: Apache-2.0
"""What is outside the language is refused well: every code of ``docs/errors.md``, and how it is shown."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quiesce.compiler.program import compile_scenario
from quiesce.compiler.read import language
from quiesce.errors import Diagnostic, SourceErrors, UsageError
from quiesce.loading import load_scenario
from quiesce.protocol import Protocol, Scenario

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"

IMPORTS = """\
import enum
import functools

from quiesce.primitives import Mutex, SpinLock
from quiesce.protocol import *  # noqa: F403

COUNT = 0


"""

WITHOUT_EXAMPLE = {"syntax"}
"""No construct of the running Python is left for it."""


def sections() -> Iterator[tuple[str, list[str]]]:
    """Yield each code of the page with its examples."""
    for section in re.split(r"^### `", PAGE.read_text(encoding="utf-8"), flags=re.M)[1:]:
        section = re.split(r"^## ", section, flags=re.M)[0]
        code, _, text = section.partition("`")
        yield code, re.findall(r"```python\n(.*?)```", text, flags=re.S)


def standard_scenario() -> str:
    page = PAGE.read_text(encoding="utf-8")
    return page[page.index("class State(enum.Enum)") : page.index("        ...\n")]


def file_of(example: str) -> str:
    """Return the file that an example of the page stands for."""
    slot = standard_scenario().split("class Example")[0]
    if re.search(r"^class \w+\(", example, flags=re.M):
        return IMPORTS + slot + example
    body = "".join(f"        {line}".rstrip() + "\n" for line in example.splitlines())
    return IMPORTS + standard_scenario() + body


EXAMPLES = {code: examples for code, examples in sections() if code not in WITHOUT_EXAMPLE}


@pytest.fixture
def refusals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[Diagnostic, ...]]:
    """Return a function that compiles a source and returns what is complained about."""
    monkeypatch.chdir(tmp_path)

    def complaints(source: str) -> tuple[Diagnostic, ...]:
        Path("idea.py").write_text(source, encoding="utf-8")
        try:
            compile_scenario(load_scenario("idea.py:Example", []))
        except SourceErrors as error:
            return error.diagnostics
        return ()

    return complaints


@pytest.mark.parametrize("code", EXAMPLES)
def test_refused_with_its_code(
    code: str,
    refusals: Callable[[str], tuple[Diagnostic, ...]],
    golden: Callable[[str, str], None],
) -> None:
    found = refusals(file_of(EXAMPLES[code][0]))
    assert [d.code for d in found] == [code]
    assert found[0].help or found[0].why or code == "constant"
    golden(f"language/{code}.txt", found[0].render() + "\n")


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_other_spelling_is_accepted(
    code: str, refusals: Callable[[str], tuple[Diagnostic, ...]]
) -> None:
    refused, accepted = EXAMPLES[code]
    assert refused != accepted
    assert refusals(file_of(accepted)) == ()


def codes_in_source() -> set[str]:
    """Return every code that the compiler can give."""
    found = {r.code for r in language.REFUSED.values()} | {"python"}
    package = ROOT / "src" / "quiesce"
    for path in [*(package / "compiler").rglob("*.py"), *(package / "protocol").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            place = {"b.refuse": 1, "self.refuse": 1, "_refuse_function": 3, "Diagnostic": 1}.get(
                called
            )
            argument = node.args[place] if place is not None else None
            if isinstance(argument, ast.Constant):
                found.add(str(argument.value))
    return found


def test_every_code_is_documented() -> None:
    assert codes_in_source() - {code for code, _ in sections()} == set()


def test_no_code_is_documented_that_does_not_exist() -> None:
    assert {code for code, _ in sections()} - codes_in_source() == {"syntax"} - codes_in_source()


# --- How it is shown --------------------------------------------------------------------------------


def thread_body(*lines: str) -> str:
    return file_of("\n".join(lines))


def test_all_at_once_and_sorted_by_place(
    refusals: Callable[[str], tuple[Diagnostic, ...]], golden: Callable[[str, str], None]
) -> None:
    found = refusals(
        thread_body(
            "self.n = self.n / 2",
            "while self.n ** 2:",
            "    try:",
            "        print(self.n)",
            "    except ValueError:",
            "        self.m = 1",
            "with open('f') as f:",
            "    del f",
            "import os, sys as system",
            "self.flag = os or system",
        )
    )
    codes = ["division", "power", "exception", "call", "attribute", "call", "delete", "import"]
    assert [d.code for d in found] == codes
    assert [d.loc for d in found] == sorted(d.loc for d in found)
    golden("language/all-at-once.txt", str(SourceErrors(found)) + "\n")


def test_one_mistake_gives_one_message(
    refusals: Callable[[str], tuple[Diagnostic, ...]],
) -> None:
    found = refusals(
        thread_body(
            "x = [1, 2]",
            "y = x[0]",
            "self.n = y + 1",
            "if x:",
            "    z = y",
            "self.n = z",
            "def inner(): pass",
            "inner()",
        )
    )
    assert [d.code for d in found] == ["container", "nested-function"]


def test_a_refused_helper_is_no_second_mistake(
    refusals: Callable[[str], tuple[Diagnostic, ...]],
) -> None:
    source = file_of(
        "def helper(n: int) -> int:\n"
        "    return n / 2\n\n\n"
        "class Example(Scenario):\n"
        "    n = Int(0)\n\n"
        "    @thread()\n"
        "    def run(self) -> None:\n"
        "        self.n = helper(1) + 1\n"
        "        self.n = helper(2)\n"
    )
    assert [d.code for d in refusals(source)] == ["division"]


def test_columns_are_characters(
    refusals: Callable[[str], tuple[Diagnostic, ...]], golden: Callable[[str, str], None]
) -> None:
    """Tabs stay tabs under the caret, and a letter of two bytes is one column."""
    source = IMPORTS + (
        "class Example(Scenario):\n"
        "\tn = Int(0)\n\n"
        "\t@thread()\n"
        "\tdef run(self) -> None:\n"
        "\t\tassert 'äöü€𝄞' and self.n / 2, 'é'\n"
    )
    (found,) = refusals(source)
    line = source.splitlines()[found.loc.line - 1]
    assert line[found.loc.column : found.loc.end_column] == "self.n / 2"
    golden("language/columns.txt", found.render() + "\n")


def test_form_feeds_are_no_lines(refusals: Callable[[str], tuple[Diagnostic, ...]]) -> None:
    (found,) = refusals(IMPORTS + "\x0c\n" + thread_body("self.n = self.n / 2")[len(IMPORTS) :])
    assert "self.n = self.n / 2" in found.render()


@pytest.mark.parametrize("coding", ["latin-1", "utf-8-sig"])
def test_encodings(coding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    declared = "# -*- coding: latin-1 -*-\n" if coding == "latin-1" else ""
    text = declared + thread_body("assert 'é' and self.n / 2")
    Path("idea.py").write_bytes(text.encode(coding))
    with pytest.raises(SourceErrors) as error:
        compile_scenario(load_scenario("idea.py:Example", []))
    assert "assert 'é' and self.n / 2" in str(error.value)


def test_call_sites_are_shown(
    refusals: Callable[[str], tuple[Diagnostic, ...]], golden: Callable[[str, str], None]
) -> None:
    source = file_of(
        "def inner(n: int) -> int:\n"
        "    return n / 2\n\n\n"
        "def outer(n: int) -> int:\n"
        "    return inner(n) + 1\n\n\n"
        "class Example(Scenario):\n"
        "    n = Int(0)\n\n"
        "    @thread()\n"
        "    def run(self) -> None:\n"
        "        self.n = outer(self.n)\n"
    )
    (found,) = refusals(source)
    assert [c.function for c in found.calls] == ["run", "outer"]
    golden("language/call-sites.txt", found.render() + "\n")


def test_properties_and_all_threads_are_read(
    refusals: Callable[[str], tuple[Diagnostic, ...]],
) -> None:
    source = file_of(
        "class Example(Scenario):\n"
        "    n = Int(0)\n\n"
        "    @thread()\n"
        "    def one(self) -> None:\n"
        "        self.n = self.n / 2\n\n"
        "    @thread()\n"
        "    def two(self) -> None:\n"
        "        self.n = self.n ** 2\n\n"
        "    @always\n"
        "    def fine(self) -> bool:\n"
        "        return self.m == 1\n"
    )
    assert [d.code for d in refusals(source)] == ["division", "power", "attribute"]


# --- Every class of ast -------------------------------------------------------------------------------

READ = {
    # Statements.
    ast.Expr, ast.Pass, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.If, ast.While, ast.For, ast.With,
    ast.Return, ast.Assert, ast.Break, ast.Continue,
    # Expressions.
    ast.Constant, ast.Name, ast.Attribute, ast.Subscript, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare,
    ast.IfExp, ast.Tuple, ast.Call, ast.Starred,
    # Operators.
    ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod, ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift,
    ast.RShift, ast.USub, ast.UAdd, ast.Invert, ast.Not, ast.And, ast.Or, ast.Eq, ast.NotEq, ast.Lt,
    ast.LtE, ast.Gt, ast.GtE, ast.Is, ast.IsNot, ast.In, ast.NotIn,
}  # fmt: skip
"""What ``statements.py``, ``expressions.py`` and ``operators.py`` read."""


def concrete(base: type[ast.AST]) -> set[type[ast.AST]]:
    """Return the classes of nodes below *base* that a parser makes, deprecated names left out."""
    values = [getattr(ast, name) for name in dir(ast) if name not in _DEPRECATED]
    return {v for v in values if isinstance(v, type) and issubclass(v, base) and v is not base}


_DEPRECATED = {"Num", "Str", "Bytes", "NameConstant", "Ellipsis"}
"""Names of older Pythons for ``Constant``; even to look them up warns."""


@pytest.mark.parametrize(
    "base", [ast.stmt, ast.expr, ast.operator, ast.unaryop, ast.boolop, ast.cmpop]
)
def test_every_class_of_ast_is_read_or_refused(base: type[ast.AST]) -> None:
    assert concrete(base) - READ - set(language.REFUSED) == set()


def test_nothing_is_both_read_and_refused() -> None:
    assert READ & set(language.REFUSED) == set()


# --- Names that the language uses itself ---------------------------------------------------------------


def reserved_names(*classes: type) -> list[str]:
    """Return what *classes* define, read from their source: functions, and annotated attributes."""
    found = []
    for klass in classes:
        (tree,) = ast.parse(inspect.getsource(klass)).body
        assert isinstance(tree, ast.ClassDef)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                found.append(node.name)
            elif isinstance(node, ast.AnnAssign):
                found.append(ast.unparse(node.target))
    return [n for n in dict.fromkeys(found) if n != "__init_subclass__"]


WAYS = {
    "method": "class Example(Scenario):\n    def {}(self): pass\n",
    "variable": "class Example(Scenario):\n    {} = Int(0)\n",
    "component": "class Example(Scenario):\n    {} = SpinLock()\n",
    "decorated": "class Example(Scenario):\n    @thread()\n    @atomic\n    def {}(self): pass\n",
    "property": "class Example(Scenario):\n    @property\n    def {}(self): pass\n",
    "base": "class Base:\n    {} = 1\n\n\nclass Example(Base, Scenario): pass\n",
    "set": "class Example(Scenario):\n    def __init__(self):\n        self.{} = 1\n",
    "declared": "class Example(Scenario):\n    def __init__(self):\n        self.{} = Int(0)\n",
}


@pytest.mark.parametrize(
    ("name", "way"),
    [
        (name, way)
        for name in reserved_names(Protocol, Scenario)
        for way in WAYS
        # An attribute of the object does not replace a special method.
        if not name.startswith("__") or way not in ("set", "declared")
    ],
)
def test_a_name_that_the_language_uses_is_refused(
    name: str, way: str, refusals: Callable[[str], tuple[Diagnostic, ...]]
) -> None:
    (found,) = refusals(IMPORTS + WAYS[way].format(name))
    assert found.code == "reserved-name"
    assert f"`{name}`" in found.message
    line = (IMPORTS + WAYS[way].format(name)).splitlines()[found.loc.line - 1]
    assert line[found.loc.column : found.loc.end_column] == name


def test_a_component_may_have_the_names_of_scenarios(
    refusals: Callable[[str], tuple[Diagnostic, ...]],
) -> None:
    source = (
        "class Timer(Protocol):\n    tasks = Int(0)\n\n"
        "    def start(self) -> None:\n        self.tasks = 1\n\n\n"
        "class Example(Scenario):\n    timer = Timer()\n\n    @thread()\n    def run(self) -> None:\n"
        "        self.timer.start()\n"
    )
    assert refusals(IMPORTS + source) == ()


# --- What has no place in the source ------------------------------------------------------------------

BAD_SCENARIOS = {
    "no threads": ("class Example(Scenario):\n    n = Int(0)\n", "has no threads"),
    "count of threads": (
        "class Example(Scenario):\n    @thread(count='many')\n    def run(self): pass\n",
        "the count of its threads is 'many'",
    ),
    "initial value": (
        "class Example(Scenario):\n    n = Int(99, high=THREADS)\n\n    @thread()\n    def run(self): pass\n",
        "n = 99: not an Int from 0 to 1",
    ),
    "range": ("class Example(Scenario):\n    n = Int(3, high=2)\n", "the initial value 3 is not in 0..2"),
    "size of a set": ("class Example(Scenario):\n    s = Set(63)\n", "the size 63 is not in 1..62"),
    "size of an array": ("class Example(Scenario):\n    a = Array(Int(0), 0)\n", "Array: the size 0"),
    "element": ("class Example(Scenario):\n    a = Array(SpinLock, 2)\n", "give an instance, SpinLock()"),
    "version as element": ("class Example(Scenario):\n    a = Array(Version(), 2)\n", "a Version is one"),
    "nested array": (
        "class Example(Scenario):\n    a = Array(Array(Int(0), 2), 2)\n", "no declaration of a variable",
    ),
    "enum class": (
        "class E(enum.Enum):\n    A = 1\n\n\nclass Example(Scenario):\n    e = Enum(E)\n", "not a member",
    ),
    "index of a Ref": (
        "class Example(Scenario):\n    a = Array(SpinLock(), 2)\n    r = Ref(a, 2)\n\n"
        "    @thread()\n    def run(self): pass\n",
        "a Ref to element 2 of 2",
    ),
    "array of a Ref": (
        "class Example(Scenario):\n    r = Ref(Array(SpinLock(), 2))\n\n"
        "    @thread()\n    def run(self): pass\n",
        "is not in this scenario",
    ),
    "components of a Ref": (
        "class Example(Scenario):\n    def __init__(self):\n        self.both = (SpinLock(), Mutex())\n"
        "        self.r = Ref(self.both)\n\n    @thread()\n    def run(self): pass\n",
        "components of one class, built alike",
    ),
    "constructor": (
        "class Example(Scenario):\n    def __init__(self):\n        {}['design']\n",
        "cannot be built: idea.py:12: KeyError: 'design'",
    ),
    "too many threads": (
        "class Example(Scenario):\n    @thread(count=10**30)\n    def run(self): pass\n",
        "a number from 0 to 1000",
    ),
    "too many tasks for a set": (
        "class Example(Scenario):\n    t = TaskSet()\n\n    @thread(count=63)\n    def run(self): pass\n",
        "a TaskSet has room for 62 tasks, and the scenario has 63 threads",
    ),
    "thread without parentheses": (
        "class Example(Scenario):\n    @thread\n    def run(self): pass\n",
        "idea.py:11: TypeError: @thread is written with parentheses: @thread()",
    ),
    "thread of a component": (
        "class Worker(Protocol):\n    @thread()\n    def run(self): pass\n\n\n"
        "class Example(Scenario):\n    worker = Worker()\n\n    @thread()\n    def own(self): pass\n",
        "Worker.run: @thread marks a method of the scenario, and worker is a component of it",
    ),
    "thread and property": (
        "class Example(Scenario):\n    @always\n    @thread()\n    def run(self): pass\n",
        "@always: Example.run is marked already",
    ),
    "two properties": (
        "class Example(Scenario):\n    @always\n    @sometimes\n    def fine(self): pass\n",
        "@always: Example.fine is marked already",
    ),
    "hidden property": (
        "class Example(Scenario):\n    @property\n    @always\n    def fine(self): pass\n\n"
        "    @thread()\n    def run(self): pass\n",
        "Example.fine is marked as a thread or as a property, and is a property object",
    ),
    "hidden thread": (
        "class Example(Scenario):\n    @classmethod\n    @thread()\n    def other(cls): pass\n\n"
        "    @thread()\n    def run(self): pass\n",
        "Example.other is marked as a thread or as a property, and is a classmethod object",
    ),
    "thread above a property": (
        "class Example(Scenario):\n    @thread()\n    @property\n    def run(self): pass\n",
        "@thread marks a method, written with `def`; this is a property object",
    ),
    "atomic above a property": (
        "class Example(Scenario):\n    @atomic\n    @property\n    def n(self): pass\n",
        "this is a property object: write @atomic below `@property`",
    ),
    "leaves": ("raise SystemExit(0)\n", "idea.py:10: SystemExit: 0"),
    "nested deeply": (
        "class Example(Scenario):\n    n = Int(0)\n\n    @thread()\n    def run(self):\n"
        f"        self.n = {'-' * 900}self.n\n",
        "nested too deeply",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_SCENARIOS)
def test_what_cannot_be_built_is_a_usage_error(
    name: str, refusals: Callable[[str], tuple[Diagnostic, ...]]
) -> None:
    source, expected = BAD_SCENARIOS[name]
    with pytest.raises(UsageError) as error:
        refusals(IMPORTS + source)
    assert expected in str(error.value)


def test_a_linked_list_that_is_walked_is_refused(
    refusals: Callable[[str], tuple[Diagnostic, ...]],
) -> None:
    source = file_of(
        "class Node(Protocol):\n"
        "    def walk(self) -> int:\n"
        "        return self.next.walk() if self.next is not None else 0\n\n\n"
        "class Example(Scenario):\n"
        "    nodes = Array(Node(), 3)\n"
        "    n = Int(0)\n\n"
        "    def __init__(self) -> None:\n"
        "        self.nodes.element.next = Ref(self.nodes)\n\n"
        "    @thread()\n"
        "    def run(self) -> None:\n"
        "        self.n = self.nodes[0].walk()\n"
    )
    source = source.replace("        self.nodes.element.next = Ref(self.nodes)\n", "        pass\n")
    source = source.replace(
        "class Example(Scenario):\n    nodes = Array(Node(), 3)\n",
        "class Example(Scenario):\n    nodes = Array(Node(), 3)\n    Node.next = Ref(nodes)\n",
    )
    assert [d.code for d in refusals(source)] == ["recursion"]
