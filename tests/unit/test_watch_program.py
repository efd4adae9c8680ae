# SPDX-License-Identifier: Apache-2.0
"""``quiesce watch``, ``QUIESCE_WATCH`` and the pytest plugin: a program watched from its first import."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from watching import PROGRAMS, quiesce_watch, reports_of, run_python

pytest_plugins = ["pytester"]

INVERTS = """
import sys, threading
from threading import Lock
a = Lock()
b = threading.Lock()
def main():
    with a, b: pass
    with b, a: pass
if __name__ == "__main__":
    main()
    print(sys.argv[1:], __file__)
    sys.exit(int(sys.argv[1]) if sys.argv[1:] else 0)
"""
ORDERED = "import threading\na = threading.Lock()\nwith a: pass\n"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "inverts.py"
    path.write_text(INVERTS)
    return path


@pytest.mark.parametrize(
    ("file", "schedule", "kind"),
    [
        ("r01_blivet_logging_str.py", "safe", "circular"),
        ("r03_sentry_queue_del.py", "safe", "inconsistent"),
        ("r03_sentry_queue_del.py", "hang", "recursive"),
        ("r05_apscheduler_shutdown_join.py", "safe", "wait-for-end"),
        ("r05_apscheduler_shutdown_join.py", "hang", "wait-for-end"),
        ("r06_sh_done_callback.py", "hang", "recursive"),
        ("r12_cpython_logging_config.py", "safe", "circular"),
    ],
)
def test_deadlocks_of_public_issues(file: str, schedule: str, kind: str) -> None:
    assert f"reports=['{kind}']" in reports_of(file)[schedule]


def test_the_same_code_where_nothing_is_wrong() -> None:
    assert "reports=[]" in reports_of("r06_sh_done_callback.py")["safe"]


def test_handler_made_at_import_is_watched_in_a_whole_program() -> None:
    assert "circular" in quiesce_watch("r02_blivet_handler_at_import.py").stdout
    assert "reports=[]" in run_python("r02_blivet_handler_at_import.py").stdout


def test_script_runs_as_python_runs_it(program: Path) -> None:
    done = quiesce_watch(str(program), "0", "--graph", "x")
    assert done.stdout.strip() == f"['0', '--graph', 'x'] {program}"
    assert done.returncode == 1
    assert "possible deadlock: a and b" in done.stderr


def test_exit_codes(program: Path, tmp_path: Path) -> None:
    assert quiesce_watch(str(program), "7").returncode == 7
    ordered = tmp_path / "ordered.py"
    ordered.write_text(ORDERED)
    done = quiesce_watch(str(ordered))
    assert (done.returncode, done.stderr) == (0, "")
    assert quiesce_watch().returncode == 2
    missing = quiesce_watch("missing.py")
    assert missing.returncode == 2 and "missing.py" in missing.stderr
    broken = tmp_path / "broken.py"
    broken.write_text("def\n")
    assert "not a Python program" in quiesce_watch(str(broken)).stderr


def test_an_error_of_the_program_is_shown_as_python_shows_it(tmp_path: Path) -> None:
    path = tmp_path / "fails.py"
    path.write_text("def f():\n    1 / 0\nf()\n")
    done = quiesce_watch(str(path))
    assert done.returncode == 1
    assert done.stderr == run_python(str(path)).stderr


def test_module(program: Path) -> None:
    done = quiesce_watch("-m", "inverts", "3", cwd=program.parent)
    assert done.returncode == 3
    assert "possible deadlock" in done.stderr
    assert quiesce_watch("-m", "no_such_module").returncode == 2


def test_kernel_text_json_graph_and_baseline(program: Path, tmp_path: Path) -> None:
    found, baseline = tmp_path / "found.json", tmp_path / "known.txt"
    done = quiesce_watch(
        "--kernel-text", "--graph", "text", "--json", str(found), "--write-baseline", str(baseline),
        str(program),
    )  # fmt: skip
    assert "WARNING: possible circular locking dependency detected" in done.stderr
    assert "  -> b (inverts.py:5)" in done.stderr
    data = json.loads(found.read_text())
    assert data["schema"] == 1
    assert [one["kind"] for one in data["findings"]] == ["circular"]
    known = quiesce_watch("--baseline", str(baseline), str(program))
    assert known.returncode == 0
    assert quiesce_watch("--ignore", "b", str(program)).returncode == 0
    assert quiesce_watch("--ignore", "c", str(program)).returncode == 1
    assert quiesce_watch("--baseline", "missing", str(program)).returncode == 2


def plugin(pytester: pytest.Pytester, file: str, *args: str) -> pytest.RunResult:
    pytester.makepyfile((PROGRAMS / file).read_text())
    return pytester.runpytest_subprocess("-p", "no:randomly", *args)


def test_one_watch_for_the_session(pytester: pytest.Pytester) -> None:
    """Module fixtures, an order across two tests, teardown, locks made at import."""
    plugin(pytester, "test_05_plugin_scope.py").assert_outcomes(passed=6)
    result = plugin(pytester, "test_05_plugin_scope.py", "--quiesce-lockdep")
    result.assert_outcomes(passed=1, failed=5)


def test_test_that_fails_for_another_reason_has_the_report(pytester: pytest.Pytester) -> None:
    result = plugin(pytester, "test_07_report_lost.py", "--quiesce-lockdep")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*some other failure*", "*quiesce: possible deadlock: a and b*"])


def test_multiprocessing_under_the_plugin(pytester: pytest.Pytester) -> None:
    plugin(pytester, "test_02_multiprocessing.py", "--quiesce-lockdep").assert_outcomes(passed=2)


def test_what_belongs_to_no_test_fails_the_session(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import threading\na, b = threading.Lock(), threading.Lock()\n"
        "with a, b: pass\nwith b, a: pass\ndef test(): pass\n"
    )
    result = pytester.runpytest_subprocess("--quiesce-lockdep")
    result.assert_outcomes(passed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*found while no test ran*", "quiesce: possible deadlock: a and b*"]
    )


def test_background_thread_and_setup(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import threading, pytest
        a = threading.Lock()
        b = threading.Lock()
        @pytest.fixture
        def inverted():
            def work():
                with a, b: pass
                with b, a: pass
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        def test_first(): pass
        def test_second(inverted): pass
        """
    )
    result = pytester.runpytest_subprocess("--quiesce-lockdep", "-p", "no:randomly")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["FAILED *test_second*"])


def test_baseline_and_ignored_names(pytester: pytest.Pytester) -> None:
    file = "test_07_report_lost.py"
    plugin(pytester, file, "--quiesce-lockdep", "--quiesce-write-baseline", "known.txt")
    text = Path(pytester.path / "known.txt").read_text()
    assert text.splitlines()[-1].startswith("circular: a ")
    result = plugin(pytester, file, "--quiesce-lockdep", "--quiesce-baseline", "known.txt")
    result.stdout.fnmatch_lines(["0 finding(s), 1 ignored*"])
    pytester.makeini("[pytest]\nquiesce_ignore =\n    *ignored_names.py\n")
    plugin(pytester, file, "--quiesce-lockdep").stdout.fnmatch_lines(["0 finding(s), 1 ignored*"])
    assert plugin(pytester, file, "--quiesce-lockdep", "--quiesce-baseline", "none").ret == 4


def test_plugin_costs_nothing_unless_it_is_asked_for(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import sys\ndef test(): assert not any(n.startswith('quiesce.lockdep') for n in sys.modules)\n"
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_graph_of_a_session(pytester: pytest.Pytester) -> None:
    plugin(pytester, "test_07_report_lost.py", "--quiesce-lockdep", "--quiesce-graph", "order.mmd")
    assert Path(pytester.path / "order.mmd").read_text().startswith("graph LR\n")
