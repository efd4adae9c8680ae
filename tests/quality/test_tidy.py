# SPDX-License-Identifier: Apache-2.0
"""The house rules, as a test: headers, sizes, docstrings, and imports that follow the data."""

from __future__ import annotations

import ast
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from quiesce.compiler import ir

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "quiesce"

LINES_OF_A_FILE = 450
LINES_OF_A_FUNCTION = 70

LONG_FILES = {
    "compiler/ir.py": "one page for all nodes, and what each reads, writes, assigns and leads to",
}
"""Files that may be longer, and why."""

_KERNEL = "a kernel: numba compiles it as one, and calls between its parts would cost"

LONG_FUNCTIONS = {
    "explorer/native/kernels/interpret.py": _KERNEL,
    "explorer/native/kernels/expand.py": _KERNEL,
    "explorer/native/kernels/graph_levels.py": _KERNEL,
    "explorer/native/kernels/canonical.py": _KERNEL,
    "explorer/native/kernels/threaded.py": _KERNEL,
    "explorer/native/kernels/threaded_stuck.py": _KERNEL,
    "explorer/native/kernels/follow.py": _KERNEL,
}
"""Files whose functions may be longer, and why."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    return {name_of(p): ast.parse(p.read_text(encoding="utf-8")) for p in modules()}


def test_every_file_has_its_header(trees: dict[str, ast.Module]) -> None:
    for path in modules():
        first = path.read_text(encoding="utf-8").split("\n", 1)[0]
        assert first == "# SPDX-License-Identifier: Apache-2.0", path
        assert ast.get_docstring(trees[name_of(path)]), f"{path} has no docstring"


def test_no_file_is_too_long() -> None:
    lengths = {name_of(p): len(p.read_text(encoding="utf-8").splitlines()) for p in modules()}
    long = {name for name, count in lengths.items() if count > LINES_OF_A_FILE}
    assert long - LONG_FILES.keys() == set()
    assert LONG_FILES.keys() - long == set(), "no longer needed in LONG_FILES"


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield node


def test_no_function_is_too_long(trees: dict[str, ast.Module]) -> None:
    long = {
        f"{name}:{f.name}"
        for name, tree in trees.items()
        for f in functions(tree)
        if (f.end_lineno or f.lineno) - f.lineno + 1 > LINES_OF_A_FUNCTION
    }
    files = {entry.partition(":")[0] for entry in long}
    assert {entry for entry in long if entry.partition(":")[0] not in LONG_FUNCTIONS} == set()
    assert LONG_FUNCTIONS.keys() - files == set(), "no longer needed in LONG_FUNCTIONS"


def public(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Yield the public functions and classes of a module."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


def test_what_is_public_has_a_docstring(trees: dict[str, ast.Module]) -> None:
    missing = [
        f"{name}:{node.name}"
        for name, tree in trees.items()
        if name not in WITHOUT_DOCSTRINGS
        for node in public(tree)
        if not ast.get_docstring(node) and not _is_overload(node)
    ]
    assert missing == []


WITHOUT_DOCSTRINGS = {
    **dict.fromkeys(
        (f"kvm/planted/{part}.py" for part in ("fault", "gates", "notifier", "update")),
        "each planted bug is described in kvm/planted/table.py",
    ),
}
"""Files that say elsewhere what their classes are, and where."""


def _is_overload(node: ast.FunctionDef | ast.ClassDef) -> bool:
    decorators = node.decorator_list
    return any(isinstance(d, ast.Name) and d.id == "overload" for d in decorators)


# --- What goes out goes through one place -------------------------------------------------------------

WRITES = {
    "outputs.py": "the one place for files that a user asks for",
    "explain/prove/check.py": "a temporary file with the source of a scenario, which is then loaded",
    "explorer/native/checkpoint.py": "a checkpoint: bytes",
    "explorer/native/kernels/kernel_cache.py": "tries whether a directory can be written",
    "kvm/real/trace_record.py": "the control files of tracefs",
    "explorer/native/compile_kernels.py": "a lock file, so that one process compiles",
}
"""Files of ours that write files, and why."""

MAKES_JSON = {
    "harmless.py": "the one place for JSON that is printed",
    "report/html.py": "the data of a page, made harmless",
    "explorer/replay.py": "inside a token",
    "explorer/native/checkpoint_header.py": "inside a checkpoint",
    "explain/prove/source.py": "literals of a scenario's source, written by outputs.py",
}
"""Files of ours that spell JSON, and why."""


def calls(tree: ast.Module) -> Iterator[tuple[str, list[object]]]:
    """Yield the name of everything that is called, with the constants it is called with."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else ""
            name = function.id if isinstance(function, ast.Name) else name
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            yield name, [a.value for a in arguments if isinstance(a, ast.Constant)]


def test_outside_text_goes_out_through_one_place(trees: dict[str, ast.Module]) -> None:
    """Else a name could reach a file or a terminal that would obey it, and half a file could be left."""
    writing, spelling = set(), set()
    for name, tree in trees.items():
        for called, constants in calls(tree):
            modes = {str(c) for c in constants if str(c).strip("bt") in ("w", "x", "a", "r+", "w+")}
            if called in ("write_text", "write_bytes") or (called in ("open", "fdopen") and modes):
                writing.add(name)
            elif called in ("NamedTemporaryFile", "TemporaryFile"):
                writing.add(name)
            elif called == "dumps":
                spelling.add(name)
    assert writing == WRITES.keys()
    assert spelling == MAKES_JSON.keys()


# --- Imports follow the data --------------------------------------------------------------------------

BELOW: dict[str, set[str]] = {
    "harmless": set(),
    "errors": {"harmless"},
    "outputs": {"errors", "harmless"},
    "verdict": set(),
    "properties": set(),
    "protocol": {"errors", "properties"},
    "primitives": {"protocol"},
    "compiler": {"errors", "protocol"},
    "stopping": set(),
    "explorer": {"errors", "verdict", "properties", "protocol", "compiler", "stopping", "outputs"},
}
"""For each part of the package, the parts that it may import from."""

NOT_ABOVE = {
    "kvm": {"commands", "report", "cli"},
    "lockdep": {"commands", "report", "cli", "kvm"},
    "threads": {"commands", "report", "cli", "kvm"},
    "watch": {"commands", "cli", "kvm", "explorer", "compiler", "protocol"},
    "explain": {"commands", "cli"},
    "report": {"commands", "cli"},
}
"""For each part, the parts that it must not import from: they are further down the way."""


def imported_parts(tree: ast.Module) -> set[str]:
    """Return the parts of quiesce that a module imports from, wherever the import stands."""
    found = set()
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "quiesce":
                names = [f"quiesce.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {n.split(".")[1] for n in names if n.startswith("quiesce.")}
    return found


def part_of(name: str) -> str:
    return name.split("/")[0].removesuffix(".py")


def test_imports_follow_the_data(trees: dict[str, ast.Module]) -> None:
    wrong = []
    for name, tree in trees.items():
        part = part_of(name)
        imported = imported_parts(tree) - {part, "__version__"}
        allowed = BELOW.get(part)
        if allowed is not None:
            wrong += [f"{name} imports {p}" for p in sorted(imported - allowed)]
        wrong += [f"{name} imports {p}" for p in sorted(imported & NOT_ABOVE.get(part, set()))]
    assert wrong == []


EXPLORER = {
    "analysis": {"analysis"},
    "reference": {"analysis", "reference", "findings"},
    "findings": {"findings"},
    "native": {"analysis", "reference", "native", "findings", "replay"},
}
"""For each part of explorer/, the parts of it that it may import from; the files beside them may use all."""


def test_engines_rest_on_the_analyses_and_not_on_each_other(trees: dict[str, ast.Module]) -> None:
    wrong = []
    for name, tree in trees.items():
        path = name.removesuffix(".py").split("/")
        if path[0] != "explorer" or len(path) < 2 or path[1] not in EXPLORER:
            continue
        found = parts_within(tree, "explorer")
        wrong += [f"{name} imports {part}" for part in sorted(found - EXPLORER[path[1]])]
    assert wrong == []


EXPLAIN = ("read", "judge", "prove", "log", "batch", "show")
"""The parts of explain/ in the order of the data: each may import from those before it."""


def parts_within(tree: ast.Module, package: str) -> set[str]:
    """Return the parts of *package* that a module imports from."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            path = node.module.split(".")
            if path[:2] == ["quiesce", package]:
                found |= {path[2]} if len(path) > 2 else {alias.name for alias in node.names}
    return found


def test_a_report_is_read_then_judged_then_proved_then_shown(trees: dict[str, ast.Module]) -> None:
    wrong = []
    for name, tree in trees.items():
        path = name.removesuffix(".py").split("/")
        if path[0] != "explain" or len(path) < 2 or path[1] == "__init__":
            continue
        allowed = EXPLAIN[: EXPLAIN.index(path[1]) + 1]
        wrong += [f"{name} imports {part}" for part in parts_within(tree, "explain") - set(allowed)]
    assert wrong == []


def test_only_the_files_of_a_kind_know_its_name(trees: dict[str, ast.Module]) -> None:
    """Elsewhere in explain/ nothing compares the kind of a report with a name."""
    wrong = []
    for name, tree in trees.items():
        if not name.startswith("explain/") or "/kinds/" in name:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                kinds = [s for s in sides if isinstance(s, ast.Attribute) and s.attr == "kind"]
                named = any(isinstance(n, ast.Constant) for s in sides for n in ast.walk(s))
                if named and any(ast.unparse(s.value).endswith(("report", "title")) for s in kinds):
                    wrong.append(f"{name}:{node.lineno} {ast.unparse(node)}")
    assert wrong == []


# --- One name, one thing -----------------------------------------------------------------------------

_KERNELS = "the kernel has one name for both: the real one and the modelled one"
_REAL = "beside the real KVM the word means what it means to a VMM"
_STAND_IN = "the lock itself, and what stands for it in the scenario of a report"

SAME_NAMES = {
    "Access": _REAL,
    "Answer": _REAL,
    "Change": _KERNELS,
    "Check": _REAL,
    "Difference": _REAL,
    "Event": _REAL,
    "Host": _REAL,
    "LockdepMap": _KERNELS,
    "Pair": _REAL,
    "PercpuRwSem": _STAND_IN,
    "Refusal": _REAL,
    "Replayed": _REAL,
    "Request": _REAL,
    "Seen": _REAL,
    "Slot": _KERNELS,
    "Table": _REAL,
    "Trace": _REAL,
    "Vm": _REAL,
}
"""Classes of which two have one name, and why."""


def test_one_name_is_one_thing(trees: dict[str, ast.Module]) -> None:
    """Classes in two files have two names; a leading underscore makes no other name."""
    places: dict[str, list[str]] = {}
    for name, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name.lstrip("_"), []).append(name)
    twice = {name: files for name, files in places.items() if len(files) > 1}
    assert {name: twice[name] for name in twice.keys() - SAME_NAMES.keys()} == {}
    assert SAME_NAMES.keys() - twice.keys() == set(), "no longer needed in SAME_NAMES"


# --- Nothing goes in a circle, nothing is cut by inheritance ---------------------------------------------

IMPORT_CYCLES = {
    frozenset(
        f"kvm.{name}"
        for name in ("dirty_log", "gates", "ledger", "mm", "mmio", "mmu", "mmu_notifier", "vm")
    ): "the notifier calls the Kvm that is registered with it",
}
"""Modules that import each other, types included, and why."""


def name_of_module(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )


def imports_of(tree: ast.Module, known: set[str]) -> set[str]:
    """Return the modules of quiesce that a module imports, wherever the import stands."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & known


def cycles(graph: dict[str, set[str]]) -> Iterator[frozenset[str]]:
    """Yield the largest sets of modules that all reach each other: what is left after the ends are gone."""
    reach = {name: set(targets) for name, targets in graph.items()}
    changed = True
    while changed:
        changed = False
        for name, seen in reach.items():
            more = set().union(*(reach[other] for other in seen), seen)
            changed = changed or len(more) > len(seen)
            reach[name] = more
    yield from {
        frozenset(o for o in seen if name in reach[o])
        for name, seen in reach.items()
        if name in seen
    }


def test_cycles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d", "a"}, "e": set[str]()}
    assert set(cycles(graph)) == {frozenset("bc"), frozenset("d")}


def test_no_modules_import_each_other() -> None:
    paths = {name_of_module(path): path for path in modules()}
    graph = {
        name: imports_of(ast.parse(path.read_text(encoding="utf-8")), set(paths)) - {name}
        for name, path in paths.items()
    }
    found = {frozenset(n.removeprefix("quiesce.") for n in cycle) for cycle in cycles(graph)}
    assert found - IMPORT_CYCLES.keys() == set()
    assert IMPORT_CYCLES.keys() - found == set(), "no longer needed in IMPORT_CYCLES"


TRIVIAL_BASES = {"ABC", "Enum", "Exception", "Generic", "NamedTuple", "Protocol", "TypedDict"}
"""Bases that bring no code of ours."""


def bases_of(node: ast.ClassDef) -> list[str]:
    names = [ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases]
    return [name for name in names if name not in TRIVIAL_BASES]


def test_no_class_has_two_bases(trees: dict[str, ast.Module]) -> None:
    """A class that inherits from two is two things; composition says which is which."""
    found = [
        f"{name}:{node.name}"
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and len(bases_of(node)) > 1
    ]
    assert found == []


CUT_CLASSES: dict[str, str] = {}
"""Classes whose only subclass is in another file of their folder, and why."""


def test_no_class_is_cut_into_files_by_inheritance(trees: dict[str, ast.Module]) -> None:
    """A base that one class of the same folder inherits from, in another file, is a part of that class.

    Unless it is a thing of its own: made by itself, or offered to users.
    """
    defined: dict[str, list[str]] = {}
    for name, tree in trees.items():
        for statement in tree.body:
            if isinstance(statement, ast.ClassDef):
                defined.setdefault(statement.name, []).append(name)
    heirs: dict[str, list[str]] = {}
    for name, tree in trees.items():
        for node in ast.walk(tree):
            for base in bases_of(node) if isinstance(node, ast.ClassDef) else []:
                heirs.setdefault(base, []).append(name)
    own = {called for tree in trees.values() for called, _ in calls(tree)}
    for name, tree in trees.items():
        for node in ast.walk(tree) if name.endswith("/__init__.py") else []:
            own |= (
                {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set()
            )
    cut = {
        f"{places[0]}:{base}"
        for base, files in heirs.items()
        if base not in own
        for places in [defined.get(base, [])]
        if len(files) == len(places) == 1 and files != places
        if files[0].rpartition("/")[0] == places[0].rpartition("/")[0]
    }
    assert cut - CUT_CLASSES.keys() == set()
    assert CUT_CLASSES.keys() - cut == set(), "no longer needed in CUT_CLASSES"


def test_nothing_is_left_for_a_subclass_to_write(trees: dict[str, ast.Module]) -> None:
    """A method that only raises is a promise that a type could make."""
    stubs = {
        name
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and "NotImplementedError" in ast.unparse(node)
    }
    assert stubs == STUBS.keys()


STUBS = {
    "primitives/base.py": "Lock is written in the protocol language, which has no abstract methods",
}
"""Files with methods that only raise NotImplementedError, and why."""


@pytest.mark.parametrize(
    ("command", "unwanted"),
    [
        ("explain", {"numba", "numpy"}),
        ("lockdep", {"numba", "numpy"}),
        ("check", {"numba", "numpy"}),
    ],
)
def test_commands_start_without_what_they_do_not_need(command: str, unwanted: set[str]) -> None:
    script = (
        "import sys\n"
        "from quiesce.cli import main\n"
        "try:\n"
        f"    main([{command!r}, '--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        "sys.stderr.write(' '.join(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert unwanted.isdisjoint(done.stderr.split())


# --- Nodes of the intermediate representation ------------------------------------------------------------

_NODES = frozenset(
    c.__name__ for union in (ir.Op, ir.Expr) for c in typing.get_args(union)
)  # fmt: skip


def matches_over_nodes() -> Iterator[tuple[Path, ast.Match]]:
    for path in sorted((ROOT / "src" / "quiesce").rglob("*.py")):
        for found in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(found, ast.Match) and any(
                isinstance(case.pattern, ast.MatchClass)
                and isinstance(case.pattern.cls, ast.Name)
                and case.pattern.cls.id in _NODES
                for case in found.cases
            ):
                yield path, found


def test_a_node_that_is_forgotten_is_an_error_of_types() -> None:
    """A match over nodes names them all and ends in ``assert_never``; or it says what any other shape means.

    mypy then refuses a node that is new. A match that looks for one shape gives the others a meaning in
    an explicit ``case _``, which is right for a node that is new, too.
    """
    silent, exhaustive = [], 0
    for path, found in matches_over_nodes():
        last = found.cases[-1]
        if not isinstance(last.pattern, ast.MatchAs) or last.pattern.pattern is not None:
            silent.append(f"{path.name}:{found.lineno}")
        exhaustive += "assert_never" in ast.unparse(last)
    assert silent == []
    assert exhaustive >= 20


# --- Docs ---------------------------------------------------------------------------------------------

WIDTH_OF_DOCS = 100


def pages() -> list[Path]:
    return [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md"))]


def test_prose_of_the_docs_is_not_too_wide() -> None:
    """Tables and code may be wider; a line with one word that cannot be broken, too."""
    wide = []
    for page in pages():
        code = False
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            code ^= line.lstrip().startswith("```")
            prose = not code and not line.lstrip().startswith("|") and not line.startswith("    ")
            if prose and len(line) > WIDTH_OF_DOCS and " " in line[:WIDTH_OF_DOCS].strip():
                wide.append(f"{page.name}:{number}")
    assert wide == []
