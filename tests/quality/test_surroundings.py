# SPDX-License-Identifier: Apache-2.0
"""What surrounds a command: streams, signals, disks, homes, the file itself. Each ends in a sentence.

Never is it exit code 4, or 1 without a violation, and a user never sees a traceback.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quiesce.cli import main

ROOT = Path(__file__).parents[2]
RWSEM = ROOT / "examples" / "rwsem_gate.py"

CASES = [
    {
        "name": "abba",
        "locks": {
            name: {"class_key": name, "wait_inner": "SLEEP", "wait_outer": "SLEEP"} for name in "ab"
        },
        "sequence": [
            ["acquire", "a", "W"], ["acquire", "b", "W"], ["release", "b"], ["release", "a"],
            ["acquire", "b", "W"], ["acquire", "a", "W"],
        ],
    }
]  # fmt: skip

HOLDS = """\
from quiesce.protocol import Int, Scenario, thread


class Fine(Scenario):
    n = Int(0)

    def __init__(self, size: int = 1, name: object = None) -> None:
        self.size = size

    @thread()
    def one(self) -> None:
        self.n = 1
"""

COMMANDS: dict[str, tuple[list[str], int]] = {
    "holds": (["check", "fine.py"], 0),
    "violation": (["check", "rwsem_gate.py"], 1),
    "incomplete": (["check", "rwsem_gate.py", "--max-states", "3"], 3),
    "json": (["check", "rwsem_gate.py", "--json"], 1),
    "steps": (["check", "rwsem_gate.py", "--show-steps"], 0),
    "lockdep": (["check", "rwsem_gate.py", "--lockdep"], 1),
    "graph": (["check", "rwsem_gate.py", "--lock-graph", "dot"], 0),
    "run": (["run", "fine.py", "--seconds", "0.1"], 0),
    "explain": (["explain", "log.txt"], 3),
    "markdown": (["explain", "log.txt", "--markdown"], 3),
    "cases": (["lockdep", "replay", "cases.json"], 1),
    "kvm": (["kvm", "check", "--design", "count", "--max-states", "50"], 3),
    "wrong": (["check", "nowhere.py"], 2),
    "help": (["--help"], 0),
}
"""Every command, and how it ends where nothing is in its way."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a file for each command."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fine.py").write_text(HOLDS, encoding="utf-8")
    shutil.copy(RWSEM, tmp_path)
    (tmp_path / "log.txt").write_text(REPORT, encoding="utf-8")
    (tmp_path / "cases.json").write_text(json.dumps(CASES), encoding="utf-8")
    return tmp_path


REPORT = """\
======================================================
WARNING: possible circular locking dependency detected
5.12.0-rc3+ #6 Tainted: G           OE
------------------------------------------------------
qemu/3069 is trying to acquire lock:
ffffffff9c775ca0 (&kvm->first){+.+.}-{3:3}, at: FUN_A+0x5/0x190

but task is already holding lock:
ffffaff7410a9160 (&kvm->second){+.+.}-{3:3}, at: FUN_B+0x36d/0x4f0 [kvm]

which lock already depends on the new lock.

the existing dependency chain (in reverse order) is:

-> #1 (&kvm->second){+.+.}-{3:3}:
       __mutex_lock+0x48/0x250
       FUN_B+0x36d/0x4f0 [kvm]

-> #0 (&kvm->first){+.+.}-{3:3}:
       __lock_acquire+0x1/0x2
       lock_acquire+0x1/0x2
       FUN_A+0x5/0x190
"""


def process(*argv: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a command line in a process of its own, and look that no traceback comes out of it."""
    environment = {**os.environ, **more.pop("env", {})}
    done = subprocess.run(
        [sys.executable, "-m", "quiesce", *argv],
        stdin=more.pop("stdin", subprocess.DEVNULL), stdout=more.pop("stdout", subprocess.PIPE),
        stderr=more.pop("stderr", subprocess.PIPE), text=True, check=False, env=environment, **more,
    )  # fmt: skip
    assert "Traceback" not in (done.stdout or "") + (done.stderr or "")
    return done


def here(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Run a command line in this process; return its exit code and what it wrote."""
    capsys.readouterr()
    try:
        code = main(argv)
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


def said(text: str, *parts: str) -> None:
    """Look that *text* is a sentence of ours, or the usage that the parser prints with it."""
    assert text.startswith(("quiesce: ", "usage: ", "quiesce")), text
    for part in parts:
        assert part in text


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest) -> Iterator[tuple[list[str], int]]:
    yield COMMANDS[request.param]


# --- Standard streams -----------------------------------------------------------------------------


def closing(*numbers: int) -> Callable[[], None]:
    """Return what a child does first: close these standard streams."""

    def close() -> None:
        for number in numbers:
            os.close(number)

    return close


def test_as_it_should_be(folder: Path, command: tuple[list[str], int]) -> None:
    argv, code = command
    assert process(*argv).returncode == code


def test_standard_output_is_closed(folder: Path, command: tuple[list[str], int]) -> None:
    done = process(*command[0], preexec_fn=closing(1))
    assert done.returncode == 2
    said(done.stderr, "standard output is closed")


def test_standard_output_is_full(folder: Path, command: tuple[list[str], int]) -> None:
    argv, code = command
    with open("/dev/full", "w") as full:
        done = process(*argv, stdout=full)
    assert done.returncode == 2
    if code != 2:
        said(done.stderr, "standard output cannot be written: No space left on device")


@pytest.mark.parametrize("name", ["violation", "wrong", "help"])
def test_standard_error_is_closed_or_full(folder: Path, name: str) -> None:
    """Only remarks are lost: the verdict stands."""
    argv, code = COMMANDS[name]
    assert process(*argv, preexec_fn=closing(2)).returncode == code
    assert process(*argv, preexec_fn=closing(0, 2)).returncode == code
    with open("/dev/full", "w") as full:
        assert process(*argv, stderr=full).returncode == code


def test_no_stream_is_left(folder: Path) -> None:
    """No file that is opened later is taken for one of them."""
    page = folder / "page.html"
    argv = ["check", "rwsem_gate.py", "--html", str(page)]
    assert process(*argv, preexec_fn=closing(0, 1, 2)).returncode == 2
    assert not page.exists()
    assert process(*argv, preexec_fn=closing(0, 2)).returncode == 1
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize("argv", [["explain"], ["replay", "-"]])
def test_standard_input_is_closed(folder: Path, argv: list[str]) -> None:
    done = process(*argv, preexec_fn=closing(0))
    assert (done.returncode, done.stdout) == (2, "")
    said(done.stderr, "standard input is closed")


# --- The file -------------------------------------------------------------------------------------

RAISING = [
    "raise SystemExit(0)",
    "raise SystemExit",
    "import sys; sys.exit('HOLDS')",
    "raise KeyboardInterrupt",
    "raise GeneratorExit",
    "raise MemoryError",
    "raise RecursionError",
    "raise StopIteration",
    "raise BaseExceptionGroup('several', [SystemExit(0)])",
    "class Own(BaseException): pass\nraise Own",
    "class Mute(BaseException):\n def __str__(self): raise SystemExit(0)\nraise Mute",
    "class Long(Exception): pass\nraise Long('x' * 10**6)",
    "import os; os.close(1000)",
    "open('nowhere')",
    "assert False, 'no'",
    "x = " + "-" * 100_000 + "1",
    "x = " + "(" * 300 + ")" * 300,
    "x = 1" + "0" * 5000,
]

LAZY = [
    HOLDS + "\n    def start(self) -> None:\n        raise SystemExit(0)\n",
    HOLDS.replace("self.size = size", "raise SystemExit(0)"),
    HOLDS.replace("self.size = size", "raise KeyboardInterrupt"),
    HOLDS.replace("self.size = size", "raise GeneratorExit"),
    HOLDS.replace("self.size = size", "self.size = 1 // 0"),
    HOLDS + "\n    __init__ = 5\n",
]
"""Files that raise after they were loaded."""


@pytest.mark.parametrize("text", [*RAISING, *LAZY], ids=lambda text: text[-60:].strip())
@pytest.mark.parametrize("name", ["check", "run"])
def test_a_file_may_raise_anything(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, name: str
) -> None:
    (folder / "idea.py").write_text(text, encoding="utf-8")
    code, out, err = here(capsys, name, "idea.py")
    assert (code, out) == (2, "")
    said(err)
    assert len(err) < 10_000


KEEPING = [
    "import sys; sys.stdout = sys.stderr = None",
    "import sys; sys.stdout.close(); sys.stderr.close()",
    "print('hello')",
    "import sys; sys.exit = None; sys.argv = []; sys.path = []",
    "import sys; sys.setrecursionlimit(500)",
    "import warnings; warnings.warn('careful')",
    "import os; os.umask(0o777)",
]
"""What a file may do besides, and still be checked; what it prints is not a part of the answer."""


@pytest.mark.parametrize("text", KEEPING)
def test_a_file_may_do_what_it_likes(folder: Path, text: str) -> None:
    (folder / "idea.py").write_text(f"{text}\n{HOLDS}", encoding="utf-8")
    done = process("check", "idea.py", "--json", "--html", "page.html")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "holds"


def test_a_thread_that_a_file_leaves_behind_can_be_interrupted(folder: Path) -> None:
    """The answer is out; then the interpreter waits for the thread. Ctrl-C keeps the exit code."""
    waiting = "import threading, time\nthreading.Thread(target=lambda: time.sleep(300)).start()\n"
    (folder / "idea.py").write_text(waiting + HOLDS, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "quiesce", "check", "idea.py"], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdout is not None and child.stderr is not None
        lines = [child.stdout.readline()]
        while "fairness" not in lines[-1]:
            lines.append(child.stdout.readline())
        while child.poll() is None:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        assert "Traceback" not in child.stderr.read()
    assert child.returncode in (0, 3)
    assert lines[0].startswith("HOLDS")


def a_directory(path: Path) -> None:
    path.mkdir()


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def a_link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def binary(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 10)


def utf16(path: Path) -> None:
    path.write_bytes(HOLDS.encode("utf-16"))


def latin1(path: Path) -> None:
    path.write_bytes("# n\u00e4me\n".encode("latin-1"))


def huge(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(1 << 33)


@pytest.mark.parametrize(
    "make",
    [a_directory, a_fifo, a_link_to_itself, a_link_to_a_device, binary, utf16, latin1, huge],
    ids=lambda m: m.__name__,
)
@pytest.mark.parametrize("argv", [["check"], ["run"]], ids=" ".join)
def test_a_file_may_be_anything(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[Path], None],
    argv: list[str],
) -> None:
    make(folder / "idea.py")
    code, out, err = here(capsys, *argv, "idea.py")
    assert (code, out) == (2, "")
    said(err, "idea.py")


@pytest.mark.parametrize("make", [a_directory, a_link_to_itself], ids=lambda m: m.__name__)
@pytest.mark.parametrize("argv", [["explain"], ["lockdep", "replay"]], ids=" ".join)
def test_an_input_may_be_anything(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[Path], None],
    argv: list[str],
) -> None:
    make(folder / "input")
    code, out, err = here(capsys, *argv, "input")
    assert (code, out) == (2, "")
    said(err, "input")


# --- Numbers --------------------------------------------------------------------------------------

BEYOND = [
    "-1",
    "0",
    "1e99",
    "nan",
    "inf",
    "-inf",
    "0x10",
    "1.5",
    "",
    " ",
    "9" * 30,
    "9" * 5000,
    "--",
]

COUNTS = [
    ["check", "fine.py", "--max-states"],
    ["check", "fine.py", "--cores"],
    ["check", "fine.py", "--max-memory"],
    ["kvm", "check", "--max-states"],
    ["kvm", "check", "--notifiers"],
    ["kvm", "check", "--updaters"],
    ["kvm", "check", "--vcpus"],
]
SECONDS = [
    ["check", "fine.py", "--max-seconds"],
    ["kvm", "check", "--max-seconds"],
    ["run", "fine.py", "--seconds"],
    ["kvm", "run", "--design", "count", "--seconds"],
]
NUMBERS = [
    *((argv, text) for argv in COUNTS for text in BEYOND if not (text == "0" and "kvm" in argv)),
    *((argv, text) for argv in SECONDS for text in BEYOND if text not in ("1.5", "0x10")),
    *((["run", "fine.py", "--seed"], text) for text in ("1e99", "9" * 5000, "9" * 30)),
    (["check", "fine.py", "--cores"], "100000"),
    (["check", "fine.py", "--max-memory"], "9" * 20 + "T"),
    (["kvm", "check", "--notifiers"], "1000000000"),
    *((["check", "fine.py", "--set"], f"{name}={text}")
      for name in ("size",)
      for text in ("1" + "0" * 30, "10**30", "1e30", "-" + "9" * 5000, "nan", "")),
    (["check", "fine.py", "--set"], "name=" + "9" * 5000),
]  # fmt: skip


@pytest.mark.parametrize(("argv", "text"), NUMBERS, ids=[f"{a} {t[:20]!r}" for a, t in NUMBERS])
def test_a_number_past_any_range(
    folder: Path, capsys: pytest.CaptureFixture[str], argv: list[str], text: str
) -> None:
    code, out, err = here(capsys, *argv, text)
    assert (code, out) == (2, ""), err
    said(err)


# --- Files that are written -----------------------------------------------------------------------

WRITING = [
    ["check", "rwsem_gate.py", "--html"],
    ["kvm", "check", "--design", "count", "--max-states", "50", "--html"],
    ["explain", "log.txt", "--html"],
    ["explain", "log.txt", "--model"],
]


def listing(folder: Path) -> dict[str, bytes]:
    """Return what is in the files of *folder*."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("argv", WRITING, ids=" ".join)
@pytest.mark.parametrize(
    "target", ["", ".", "/", "no/folder/page", "x" * 300, "fifo", "/dev/null", "/dev/full", "loop"]
)
def test_an_output_that_is_no_file(
    folder: Path, capsys: pytest.CaptureFixture[str], argv: list[str], target: str
) -> None:
    os.mkfifo("fifo")
    Path("loop").symlink_to("loop")
    before = listing(folder)
    code, out, err = here(capsys, *argv, target)
    assert (code, out) == (2, ""), err
    said(err, "cannot be written")
    assert listing(folder) == before


INPUTS = [
    (["check", "rwsem_gate.py", "--html"], "rwsem_gate.py"),
    (["check", "importing.py", "--html"], "rwsem_gate.py"),
    (["check", "rwsem_gate.py", "--checkpoint", "{}", "--html"], "saved"),
    (["explain", "log.txt", "--html"], "log.txt"),
    (["explain", "log.txt", "--model"], "log.txt"),
    (["explain", "log.txt", "--html", "{}", "--model"], "page"),
]


@pytest.mark.parametrize(("argv", "name"), INPUTS, ids=[" ".join(a) for a, _ in INPUTS])
@pytest.mark.parametrize("how", ["as it is", "link", "hard link", "another way"])
def test_an_output_onto_what_is_read(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    argv: list[str],
    name: str,
    how: str,
) -> None:
    (folder / "importing.py").write_text("from rwsem_gate import *\n" + HOLDS, encoding="utf-8")
    monkeypatch.delitem(sys.modules, "rwsem_gate", raising=False)
    if how != "as it is" and not Path(name).exists():
        pytest.skip("it is not there yet")
    target = {"another way": f"../{folder.name}/{name}", "as it is": name}.get(how, "other")
    if how == "link":
        Path("other").symlink_to(name)
    elif how == "hard link":
        os.link(name, "other")
    before = listing(folder)
    code, out, err = here(capsys, *(part.format(name) for part in argv), target)
    assert (code, out) == (2, ""), err
    said(err, "would be written over")
    assert listing(folder) == before


def test_an_output_onto_standard_input(folder: Path) -> None:
    before = listing(folder)
    with open("log.txt") as log:
        done = process("explain", "--html", "log.txt", stdin=log)
    assert done.returncode == 2
    said(done.stderr, "standard input")
    assert listing(folder) == before


@pytest.mark.parametrize("argv", WRITING, ids=" ".join)
def test_an_output_is_replaced_as_a_whole(
    folder: Path, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    """The mode of what was there is kept, and a link stays a link."""
    Path("real").write_text("old")
    os.chmod("real", 0o640)
    Path("page").symlink_to("real")
    before = set(os.listdir())
    assert here(capsys, *argv, "page")[0] in (0, 1, 3)
    assert Path("page").is_symlink()
    assert os.stat("real").st_mode & 0o777 == 0o640
    assert Path("real").read_text(encoding="utf-8") != "old"
    assert set(os.listdir()) == before


def small_files() -> None:
    """Let files have 4 KiB: the next byte fails, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


@pytest.mark.parametrize("argv", [WRITING[0], WRITING[2]], ids=" ".join)
def test_a_disk_that_is_full_leaves_no_half_page(folder: Path, argv: list[str]) -> None:
    for old in (None, "old"):
        if old is not None:
            (folder / "page").write_text(old)
        before = listing(folder)
        done = process(*argv, "page", preexec_fn=small_files, env={"PYTHONDONTWRITEBYTECODE": "1"})
        assert done.returncode == 2
        said(done.stderr.splitlines()[-2], "page cannot be written")
        assert listing(folder) == before


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own without a free byte; the test is skipped where none can be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no file system can be mounted: {error}")
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted: {mounted.stderr.strip()}")
    try:
        with open(disk / "filling", "wb", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(1024))
                except OSError:
                    break
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk(folder: Path, full_disk: Path) -> None:
    """No page, no temporary file and no kernel can be written; what was asked for is answered."""
    done = process("check", "rwsem_gate.py", "--html", str(full_disk / "page"))
    assert done.returncode == 2
    assert os.listdir(full_disk) == ["filling"]
    full = {"TMPDIR": str(full_disk), "HOME": str(full_disk), "XDG_CACHE_HOME": str(full_disk)}
    for name in ("violation", "explain", "run", "cases"):
        argv, code = COMMANDS[name]
        assert process(*argv, env=full).returncode == code
    assert os.listdir(full_disk) == ["filling"]


# --- Homes and directories ------------------------------------------------------------------------

HOMES: dict[str, dict[str, str]] = {
    "not there": {"HOME": "/nonexistent", "TMPDIR": "/nonexistent"},
    "a device": {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null"},
    "empty": {"HOME": "", "XDG_CACHE_HOME": "", "TMPDIR": ""},
    "relative": {"HOME": "home", "XDG_CACHE_HOME": "cache"},
    "read-only": {"HOME": "/proc", "XDG_CACHE_HOME": "/proc", "TMPDIR": "/proc"},
}


@pytest.mark.parametrize("home", HOMES)
def test_a_home_that_is_none(folder: Path, home: str) -> None:
    before = set(os.listdir())
    for name in ("violation", "explain", "run"):
        argv, code = COMMANDS[name]
        assert process(*argv, env=HOMES[home]).returncode == code
    assert set(os.listdir()) - {"__pycache__"} == before


def test_a_directory_that_was_deleted(folder: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()

    def enter() -> None:
        os.chdir(gone)
        os.rmdir(gone)

    assert process("check", "fine.py", preexec_fn=enter).returncode == 2
    gone.mkdir()
    assert process("check", str(folder / "fine.py"), preexec_fn=enter).returncode in (0, 2)


def test_threads_that_cannot_be_started(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    code, out, err = here(capsys, "run", "fine.py", "--seconds", "0.1")
    assert (code, out) == (2, "")
    said(err, "the system refused another thread")


WITHOUT = """
import sys
for name in ("resource", "fcntl", "termios", "pwd", "grp", "mmap", "numba", "numpy"):
    sys.modules[name] = None
import signal
for name in ("setitimer", "getitimer", "SIGALRM"):
    delattr(signal, name)
from quiesce.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_other_systems(folder: Path) -> None:
    """Where modules of Unix are missing, as in a browser, small questions are answered all the same."""
    for name in ("holds", "violation", "incomplete", "lockdep", "graph", "explain", "cases", "kvm"):
        argv, code = COMMANDS[name]
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT, *argv], capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
    argv = ["check", "fine.py", "--max-memory", "1G"]
    done = subprocess.run([sys.executable, "-c", WITHOUT, *argv], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    said(done.stderr, "does not tell how much memory is used")


@pytest.mark.parametrize("kilobytes", [20_000, 35_000])
def test_too_little_memory(folder: Path, kilobytes: int) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (kilobytes << 10,) * 2)

    done = process("check", "fine.py", preexec_fn=limit)
    if done.returncode < 0 or done.stderr.startswith(("Fatal Python", "MemoryError")):
        pytest.skip("not even the interpreter starts in so little memory")
    assert done.returncode in (0, 2)


def test_the_interpreter_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where an allocation inside Python fails unnoticed it raises ``SystemError``: not an internal error."""

    def fails() -> None:
        raise SystemError("error return without exception set")

    monkeypatch.setattr("quiesce.cli.build_parser", fails)
    assert main(["check", "fine.py"]) == 2
    said(capsys.readouterr().err, "Python itself failed")


# --- Signals --------------------------------------------------------------------------------------

AT_IMPORT = """
import os, runpy, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), {number})
        return None

sys.meta_path.insert(0, Finder())
sys.argv = ["quiesce", *{argv!r}]
runpy.run_module("quiesce", run_name="__main__", alter_sys=True)
"""

AT_COMPILING = """
import os, runpy, sys
import numba
from numba.core import event

class Listener(event.Listener):
    def on_start(self, _event):
        os.kill(os.getpid(), {number})
    def on_end(self, _event):
        pass

event.register("numba:compile", Listener())
sys.argv = ["quiesce", *{argv!r}]
runpy.run_module("quiesce", run_name="__main__", alter_sys=True)
"""


def signaled(script: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run *script*, which sends itself a signal; it has to end in order."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, **more
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 3, done.stderr
    return done


SIGNALS = [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")]


@pytest.mark.parametrize(("number", "word"), SIGNALS)
@pytest.mark.parametrize(
    "module",
    ["quiesce.cli", "argparse", "quiesce.errors", "quiesce.commands.check", "quiesce.compiler.program",
     "quiesce.explorer.engine", "quiesce.lockdep.explored", "quiesce.report.html_never", "json.decoder"],
)  # fmt: skip
def test_a_signal_while_it_starts(folder: Path, module: str, number: int, word: str) -> None:
    argv = ["check", "fine.py"]
    script = AT_IMPORT.format(module=module, number=int(number), argv=argv)
    if module == "quiesce.report.html_never":
        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
        return
    done = signaled(script)
    assert done.stderr == f"quiesce: {word}; nothing is proved\n"
    assert done.stdout == ""


@pytest.mark.parametrize(("number", "word"), SIGNALS)
@pytest.mark.parametrize("module", ["numba", "numpy", "numba.core.typing", "numpy.linalg"])
def test_a_signal_while_numba_is_imported(
    folder: Path, module: str, number: int, word: str
) -> None:
    pytest.importorskip("numba", reason="the native explorer needs numba")
    argv = ["check", "fine.py", "--explorer", "native"]
    done = signaled(AT_IMPORT.format(module=module, number=int(number), argv=argv))
    assert done.stdout.startswith("INCOMPLETE")
    assert f"not a proof: {word}" in done.stdout


@pytest.mark.parametrize(("number", "word"), SIGNALS)
def test_a_signal_while_kernels_are_compiled(
    folder: Path, tmp_path: Path, number: int, word: str
) -> None:
    pytest.importorskip("numba", reason="the native explorer needs numba")
    argv = ["check", "fine.py", "--explorer", "native"]
    empty = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "NUMBA_CACHE_DIR": ""}
    done = signaled(AT_COMPILING.format(number=int(number), argv=argv), env=empty)
    assert done.stdout.startswith("INCOMPLETE")
    assert f"not a proof: {word}" in done.stdout


@pytest.mark.parametrize(("number", "word"), SIGNALS)
def test_a_signal_while_the_file_is_loaded(folder: Path, number: int, word: str) -> None:
    text = f"import os, time\nos.kill(os.getpid(), {int(number)})\ntime.sleep(300)\n"
    (folder / "idea.py").write_text(text, encoding="utf-8")
    for argv in (["check", "idea.py"], ["run", "idea.py"]):
        done = process(*argv)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == f"quiesce: {word}; nothing is proved\n"


RUNNING = [
    ["check", "large.py", "-q", "--explorer", "reference"],
    ["check", "large.py", "-q", "--explorer", "reference", "--json"],
    ["kvm", "check", "-q", "--set", "notifiers=3", "--explorer", "reference"],
    ["run", "large.py", "--seconds", "300"],
    ["explain"],
]


@pytest.mark.parametrize(("number", "word"), SIGNALS)
@pytest.mark.parametrize("argv", RUNNING, ids=" ".join)
def test_a_signal_while_it_runs(folder: Path, argv: list[str], number: int, word: str) -> None:
    """At whatever time it comes: the command has begun, says the clock of its processor time."""
    shutil.copy(ROOT / "examples" / "count_gate.py", folder / "large.py")
    large = (folder / "large.py").read_text(encoding="utf-8")
    assert "notifiers: int = " in large
    (folder / "large.py").write_text(
        large.replace("notifiers: int = 2", "notifiers: int = 8"), encoding="utf-8"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "quiesce", *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        while ticks_of(child.pid) < 30 and not (argv == ["explain"] and ticks_of(child.pid) > 6):
            assert child.poll() is None
            try:
                child.wait(0.01)
            except subprocess.TimeoutExpired:
                continue
        child.send_signal(number)
        out, err = child.communicate()
    assert "Traceback" not in err
    assert child.returncode == 3, err
    assert word in out + err


def ticks_of(pid: int) -> int:
    """Return the processor time of a process, in hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


# --- What --help says -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["check", "run", "replay"])
def test_help_says_that_the_file_is_executed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = here(capsys, name, "--help")
    assert code == 0
    assert "FILE" in out and "is executed" in " ".join(out.split())
