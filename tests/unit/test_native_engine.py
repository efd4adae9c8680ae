# SPDX-License-Identifier: Apache-2.0
"""Which explorer answers, and what happens where numba is missing or nothing can be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from native_protocols import LockPair, Racy

from quiesce.errors import UsageError
from quiesce.explorer import check
from quiesce.explorer.native.options import NativeOptions

ROOT = Path(__file__).parents[2]

WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
sys.path[:0] = ["tests/support"]
from native_protocols import LockPair
from quiesce.errors import UsageError
from quiesce.explorer import check
from quiesce.explorer.native.options import NativeOptions
result = check(LockPair(crossed=True, threads=3), None, NativeOptions(small=10))
print(result.engine, result.verdict.name, result.notes)
try:
    check(LockPair(), None, NativeOptions(explorer="native"))
except UsageError as error:
    print("refused:", error)
"""

SMALL = """
import sys
sys.path[:0] = ["tests/support"]
from native_protocols import LockPair
from quiesce.explorer import check
print(check(LockPair()).engine, "numba" in sys.modules, "numpy" in sys.modules)
"""

NATIVE = """
import sys
sys.path[:0] = ["tests/support"]
from native_protocols import LockPair
from quiesce.explorer import check
from quiesce.explorer.native.options import NativeOptions
print(check(LockPair(), None, NativeOptions(explorer="native")).engine)
"""


LIMITED = """
import resource
from benchmarks.models.count import CountProtocol
from quiesce.compiler.program import compile_scenario
from quiesce.explorer.native.search import Search, SearchOptions
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30),) * 2)
search = Search(compile_scenario(CountProtocol(4)), SearchOptions(keep_going=True))
search.run()
print(search.states, search.transitions)
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run *code* in a Python of its own."""
    env = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT, env={**env, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def _no_folder(tmp_path: Path) -> Path:
    """Return a path at which no folder can be made, whoever tries."""
    file = tmp_path / "file"
    file.write_text("")
    return file / "home"


def test_small_spaces_are_answered_without_numba() -> None:
    assert run(SMALL).stdout.split() == ["reference", "False", "False"]


def test_without_numba_everything_is_still_answered() -> None:
    out = run(WITHOUT_NUMBA).stdout
    assert out.startswith("reference VIOLATION")
    assert "slow" in out
    assert "refused: the native explorer cannot be used" in out


def test_a_limited_address_space_is_enough() -> None:
    """Where as much as the machine has memory cannot be reserved, vectors are copied as they grow."""
    pytest.importorskip("numba", reason="the native explorer needs numba")
    assert run(LIMITED).stdout.split() == ["55762", "222397"]


def test_large_spaces_are_answered_natively() -> None:
    pytest.importorskip("numba", reason="the native explorer needs numba")
    result = check(LockPair(threads=3), None, NativeOptions(small=5))
    assert result.engine == "native"
    assert result.verdict is check(LockPair(threads=3)).verdict


def test_an_unpackable_program_is_answered_by_the_reference() -> None:
    """A variable of more bits than a register has cannot be explored natively."""
    pytest.importorskip("numba", reason="the native explorer needs numba")
    scenario = Racy()
    type(scenario).count.high = 1 << 70  # type: ignore[attr-defined]
    try:
        result = check(scenario, None, NativeOptions(small=2))
        assert result.engine == "reference"
        assert any("slow" in note for note in result.notes)
        with pytest.raises(UsageError):
            check(scenario, None, NativeOptions(explorer="native"))
    finally:
        from quiesce.protocol import THREADS

        type(scenario).count.high = THREADS  # type: ignore[attr-defined]


def test_a_home_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    """The kernels are compiled into a directory for temporary files then, without a word."""
    pytest.importorskip("numba", reason="the native explorer needs numba")
    done = run(NATIVE, HOME=str(_no_folder(tmp_path)), TMPDIR=str(tmp_path))
    assert done.stdout.strip() == "native"
    assert done.stderr == ""
    assert list(tmp_path.rglob("expand.expand-*.nbc"))
