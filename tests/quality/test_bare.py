# SPDX-License-Identifier: Apache-2.0
"""A plain ``pip install``: a wheel and nothing else, in a virtual environment of its own.

Every question is answered there, the large ones slowly. Each version of Python that is at hand is tried;
those that are not are skipped, with the reason.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from test_surroundings import CASES, HOLDS, REPORT

ROOT = Path(__file__).parents[2]
VERSIONS = ("3.11", "3.12", "3.13")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"

BORROWED = ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments")
"""What the tests of the command line need, of plain Python: another version can import it, too."""


@dataclass(frozen=True)
class Bare:
    """An environment with nothing but the wheel in it.

    :param folder: an empty directory to work in.
    """

    version: str
    bin: Path
    folder: Path

    def run(self, *argv: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment; nothing of ours leaks into it."""
        program, *rest = argv
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "LANG": "C.UTF-8"}
        done = subprocess.run(
            [str(self.bin / program), *rest], cwd=self.folder, env={**environment, **more},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def quiesce(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a command line."""
        return self.run("quiesce", *argv)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `pip install .` would install; built without a registry."""
    for needed in ("pip", "hatchling"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not there to build the wheel with")
    folder = tmp_path_factory.mktemp("wheel")
    built = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--no-build-isolation"]
    subprocess.run([*built, "--no-index", "-q", "-w", str(folder)], check=True)
    (found,) = folder.glob("*.whl")
    return found


def interpreter(version: str) -> str | None:
    """Return a Python of *version*, from the search path or from pyenv; None if there is none."""
    if version == HERE:
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = [shutil.which(f"python{version}") or ""]
    found += map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}")))
    ask = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    for path in filter(None, found):
        done = subprocess.run([path, "-c", ask], capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return path
    return None


@pytest.fixture(scope="session", params=VERSIONS)
def bare(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bare]:
    """An environment for each version."""
    version = request.param
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    place = tmp_path_factory.mktemp(f"python{version}")
    subprocess.run([python, "-m", "venv", str(place / "env")], check=True)
    install = ["-m", "pip", "install", "-q", "--no-index", "--no-deps", str(wheel)]
    subprocess.run([str(place / "env" / "bin" / "python"), *install], check=True)
    folder = place / "work"
    folder.mkdir()
    (folder / "fine.py").write_text(HOLDS, encoding="utf-8")
    (folder / "log.txt").write_text(REPORT, encoding="utf-8")
    (folder / "cases.json").write_text(json.dumps(CASES), encoding="utf-8")
    for name in ("rwsem_gate.py", "count_gate.py"):
        shutil.copy(ROOT / "examples" / name, folder)
    yield Bare(version, place / "env" / "bin", folder)


@pytest.fixture(scope="session")
def here(bare: Bare) -> Bare:
    """The environment of the version that runs the tests, for what takes long."""
    if bare.version != HERE:
        pytest.skip(f"takes long, so it is tried with Python {HERE} alone")
    return bare


IMPORT_ALL = """
import importlib, pkgutil, sys
import quiesce
lacking = []
for module in pkgutil.walk_packages(quiesce.__path__, "quiesce."):
    if module.name.endswith(("__main__", "pytest_plugin")):
        continue
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        lacking.append((module.name, (error.name or "").partition(".")[0]))
    except Exception as error:
        lacking.append((module.name, type(error).__name__))
print(quiesce.__file__)
print(lacking)
"""


def test_every_module_can_be_imported(bare: Bare) -> None:
    """But for those that need a package of an extra, each of which says so in its own way."""
    done = bare.run("python", "-I", "-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    where, lacking = done.stdout.splitlines()
    assert where.startswith(str(bare.bin.parent))
    needed = dict(eval(lacking))
    assert needed, "numpy is not to be had here"
    unexpected = {
        name: lack
        for name, lack in needed.items()
        if not any(name.startswith(part) and lack in lacks for part, lacks in EXTRAS.items())
    }
    assert unexpected == {}


_NATIVE = ("numpy", "numba", "NativeUnavailable")
EXTRAS = {
    "quiesce.explorer.native.": _NATIVE,
    "quiesce.kvm.real.native_": _NATIVE,
    # Tens of thousands of memslots need sortedcontainers; the error says how to get it.
    "quiesce.kvm.real.": ("UsageError",),
    "quiesce.commands.kvm_conform": ("UsageError",),
    "quiesce.commands.kvm_why": ("UsageError",),
    "quiesce.mcp.server": ("mcp",),
    "quiesce.pytest_scenarios": ("pytest",),
    "quiesce.watch.pytest_plugin": ("pytest",),
}
"""For each part that needs an extra, the package that is missing, or the error that says so."""


COMMANDS: list[tuple[list[str], int]] = [
    (["--version"], 0),
    (["check", "fine.py"], 0),
    (["check", "rwsem_gate.py", "--html", "page.html"], 1),
    (["check", "rwsem_gate.py", "--show-steps"], 0),
    (["check", "rwsem_gate.py", "--lockdep"], 1),
    (["check", "rwsem_gate.py", "--lock-graph", "mermaid"], 0),
    (["check", "fine.py", "--max-memory", "1G", "--max-seconds", "100", "--cores", "2"], 0),
    (["run", "fine.py", "--seconds", "0.1"], 0),
    (["explain", "log.txt"], 3),
    (["explain", "log.txt", "--markdown", "--html", "page.html", "--model", "model.py"], 3),
    (["check", "model.py"], 1),
    (["lockdep", "replay", "cases.json"], 1),
    (["kvm", "check", "--design", "count", "--max-states", "500"], 3),
    (["kvm", "run", "--design", "phased", "--seconds", "0.2"], 0),
]


def test_every_command_answers(bare: Bare) -> None:
    for argv, code in COMMANDS:
        done = bare.quiesce(*argv)
        assert done.returncode == code, (argv, done.stdout, done.stderr)
        assert done.stdout
    token = json.loads(bare.quiesce("check", "rwsem_gate.py", "--json").stdout)["replay"]
    assert bare.quiesce("replay", token).returncode == 1


def test_the_native_explorer_says_how_to_get_it(bare: Bare) -> None:
    for argv in (
        ["check", "fine.py", "--explorer", "native"],
        ["check", "fine.py", "--checkpoint", "saved"],
        ["kvm", "check", "--design", "count", "--explorer", "native"],
    ):
        done = bare.quiesce(*argv)
        assert (done.returncode, done.stdout) == (2, "")
        assert "the native explorer cannot be used: " in done.stderr
        assert "numba" in done.stderr
        assert "pip install" in done.stderr


def test_a_large_space_is_explored_slowly(here: Bare) -> None:
    """Past 20,000 states, where the native explorer would take over; the verdict is the same."""
    argv = ["check", "count_gate.py", "--set", "notifiers=5", "--json"]
    done = here.quiesce(*argv)
    assert done.returncode == 1, done.stderr
    slow = json.loads(done.stdout)
    assert (slow["engine"], slow["complete"]) == ("reference", True)
    assert slow["states"] > 20_000
    assert any("plain Python, which is slow: numpy and numba" in note for note in slow["notes"])
    small = json.loads(here.quiesce("check", "count_gate.py", "--json").stdout)
    assert not any("slow" in note for note in small["notes"])


def test_the_command_line_under_this_version(bare: Bare, tmp_path: Path) -> None:
    """The tests of the command line themselves, with a borrowed pytest."""
    if bare.version == HERE:
        pytest.skip(f"Python {HERE} runs these tests anyway")
    for name in BORROWED:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            pytest.skip(f"{name} cannot be borrowed")
        if spec.submodule_search_locations:
            shutil.copytree(spec.submodule_search_locations[0], tmp_path / name)
        else:
            shutil.copy(spec.origin, tmp_path)
    tests = ROOT / "tests"
    done = bare.run(
        "python", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--rootdir", str(ROOT),
        "-c", os.devnull, str(tests / "unit" / "test_cli.py"),
        PYTHONPATH=str(tmp_path), PYTHONDONTWRITEBYTECODE="1",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
