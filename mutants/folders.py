# SPDX-License-Identifier: Apache-2.0
"""What is mutated, and by which tests: those that are about the folder, the quick ones first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Folder:
    """Modules that are mutated, and the tests that should notice.

    :ivar modules: patterns below ``src/quiesce/``.
    :ivar tests: patterns below ``tests/``, in the order in which they run.
    :ivar without: modules that are left out.
    """

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]
    without: tuple[str, ...] = ()

    def module_paths(self, root: Path) -> list[Path]:
        """Return the modules below *root*, relative to it."""
        source = root / "src" / "quiesce"
        left_out = {path for pattern in self.without for path in source.glob(pattern)}
        found = {path for pattern in self.modules for path in source.glob(pattern)}
        return sorted(
            path.relative_to(root) for path in found - left_out if path.name != "__init__.py"
        )

    def test_paths(self, root: Path) -> list[str]:
        """Return the test files, each once, in order."""
        found: dict[str, None] = {}
        for pattern in self.tests:
            paths = sorted((root / "tests").glob(pattern))
            assert paths, f"no test is called {pattern}"
            found.update((str(path.relative_to(root)), None) for path in paths)
        return list(found)


FOLDERS = (
    Folder(
        "lockdep",
        ("lockdep/*.py",),
        (
            "*/test_lockdep_interrupts.py",
            "*/test_lockdep_validator.py",
            "*/test_lockdep_selftest.py",
            "*/test_lockdep_kernel_reports.py",
            "*/test_lockdep_examples.py",
            "*/test_lockdep_judges.py",
            "*/test_lockdep_oracle.py",
        ),
        without=("lockdep/explored.py", "lockdep/threads.py"),
    ),
    Folder(
        "lockdep-of-runs",
        ("lockdep/explored.py", "lockdep/threads.py"),
        ("*/test_lockdep_explored.py",),
    ),
    Folder(
        "primitives",
        ("primitives/*.py",),
        (
            "*/test_primitives_reader_writer.py",
            "*/test_primitives_waiting.py",
            "*/test_primitives_readers.py",
            "*/test_primitives_*.py",
        ),
    ),
    Folder(
        "explorer",
        ("explorer/*.py", "explorer/analysis/*.py", "explorer/reference/*.py"),
        ("*/test_explorer_*.py", "*/test_compiler_fusion.py"),
    ),
    Folder(
        "native",
        ("explorer/native/*.py", "explorer/native/*/*.py"),
        ("*/test_native_visited.py", "*/test_native_symmetry.py", "*/test_native_*.py"),
    ),
    Folder(
        "compiler",
        ("compiler/*.py", "compiler/read/*.py"),
        ("*/test_compiler_*.py", "*/test_language_*.py"),
    ),
)
