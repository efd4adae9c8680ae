# SPDX-License-Identifier: Apache-2.0
"""Run the test suites of PyPI packages plainly and under ``--quiesce-lockdep``, and compare.

    python -m benchmarks.watch_suites [PACKAGE ...] [--folder DIR] [--timeout SECONDS]

Each package is installed into one virtual environment of its own under DIR, together with this tree; its
tests come from its source distribution. A line says how many tests pass, which fail only when watched,
what was found, and the CPU seconds of both runs. It needs the network, and takes some minutes.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tarfile
import venv
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

TESTS = {
    # What else the tests import, and where they are in the source distribution.
    "cachetools": ([], "tests"),
    "filelock": (["pytest-mock", "pytest-asyncio", "pytest-timeout", "virtualenv"], "tests"),
    "portalocker": (["redis", "pytest-rerunfailures"], "portalocker_tests"),
    "fasteners": (["eventlet", "diskcache", "more-itertools"], "tests"),
    "watchdog": (["flaky", "pytest-timeout", "PyYAML"], "tests"),
    "pebble": ([], "test"),
    "blinker": (["pytest-asyncio"], "tests"),
    "tenacity": (["tornado", "typeguard"], "tests"),
    "joblib": ([], "joblib/test"),
    "cheroot": (
        [
            "jaraco.text",
            "jaraco.context",
            "requests",
            "requests-unixsocket",
            "trustme",
            "pytest-mock",
            "pyOpenSSL",
            "portend",
            "requests-toolbelt",
            "urllib3<2",
        ],
        "cheroot/test",
    ),
    "werkzeug": (["cryptography", "ephemeral-port-reserve", "pytest-timeout", "watchdog"], "tests"),
    "apscheduler": (["pytz", "pytest-asyncio", "SQLAlchemy", "tornado", "twisted"], "tests"),
    "pykka": (["pytest-mock"], "tests"),
    "dogpile.cache": (["mako"], "tests"),
    "wrapt": ([], "tests"),
    "sqlalchemy": ([], "test/engine"),
    "tornado": ([], "tornado/test"),
    "loguru": (["freezegun", "colorama"], "tests"),
    "structlog": (["freezegun", "pretend", "pytest-asyncio", "time-machine"], "tests"),
    "urllib3": (["trustme", "pytest-timeout", "hypercorn", "quart", "quart-trio", "trio"], "test"),
    "persist-queue": ([], "tests"),
    "janus": (["pytest-asyncio"], "tests"),
    "readerwriterlock": ([], "tests"),
    "simpy": ([], "tests"),
}


COMMON = [
    "pytest", "pytest-timeout", "pytest-cov",
    "hatchling", "hatch-vcs", "setuptools<81", "setuptools-scm", "wheel", "flit-core", "poetry-core",
    "pdm-backend",
    "uv-build",
]  # fmt: skip
"""What tests need in common, and what builds the metadata of a source distribution."""


@dataclass
class Run:
    """One run of a suite."""

    outcomes: dict[str, str]
    findings: int
    cpu_seconds: float
    note: str = ""


def prepare(package: str, folder: Path) -> tuple[Path, Path]:
    """Install *package* and unpack its source; return the interpreter and the source."""
    home = folder / package
    python = home / "venv" / "bin" / "python"
    extra, _ = TESTS.get(package, ([], "tests"))
    if not python.exists():
        venv.create(home / "venv", with_pip=True)
        pip = [str(python), "-m", "pip", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", str(ROOT), *COMMON, package, *extra], check=True)
        for isolation in ([], ["--no-build-isolation"]):
            # Some build backends cannot be fetched into a build of their own; then those installed serve.
            subprocess.run(
                [*pip, "download", *isolation, "--no-deps", "--no-binary", package, "-d",
                 str(home / "sdist"), f"{package}=={version_of(python, package)}"],
                check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            if list((home / "sdist").glob("*.tar.gz")):
                break
        for archive in (home / "sdist").glob("*.tar.gz"):
            with tarfile.open(archive) as files:
                files.extractall(home / "source", filter="data")
    sources = sorted((home / "source").iterdir()) if (home / "source").exists() else []
    if not sources:
        raise SystemExit(f"{package}: no source distribution could be downloaded")
    return python, sources[0]


def version_of(python: Path, package: str) -> str:
    """Return the version of *package* that is installed."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def run(python: Path, source: Path, tests: str, seconds: float, *args: str) -> Run:
    """Run the tests once."""
    result = source / "result.xml"
    result.unlink(missing_ok=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    note = ""
    command = [
        str(python),
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
        f"--junit-xml={result}",
    ]
    try:
        done = subprocess.run(
            [*command, *args, tests], cwd=source, capture_output=True, text=True, timeout=seconds,
            env={**os.environ, "PYTHONWARNINGS": "default", "PYTHONPATH": str(ROOT / "src")}, check=False,
        )  # fmt: skip
        text = done.stdout
        (source / f"output{'_watched' if args else ''}.txt").write_text(text + done.stderr)
    except subprocess.TimeoutExpired:
        text, note = "", "timeout"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    findings = [line.split()[0] for line in text.splitlines() if " finding(s)" in line]
    return Run(outcomes_of(result), int(findings[-1]) if findings else 0, cpu, note)


def outcomes_of(result: Path) -> dict[str, str]:
    """Return the outcome of each test, by its name."""
    if not result.exists():
        return {}
    outcomes: dict[str, str] = {}
    for case in ET.parse(result).iter("testcase"):
        kinds = {child.tag for child in case}
        word = (
            "failed"
            if kinds & {"failure", "error"}
            else "skipped"
            if "skipped" in kinds
            else "passed"
        )
        name = f"{case.get('classname')}::{case.get('name')}"
        outcomes[name] = word if outcomes.get(name, "passed") == "passed" else outcomes[name]
    return outcomes


def compare(package: str, folder: Path, seconds: float) -> str:
    """Return the line about *package*."""
    python, source = prepare(package, folder)
    tests = TESTS.get(package, ([], "tests"))[1]
    plain = run(python, source, tests, seconds)
    watched = run(python, source, tests, 3 * seconds, "--quiesce-lockdep")
    passed = sum(word == "passed" for word in plain.outcomes.values())
    worse = [name for name, word in watched.outcomes.items()
             if word == "failed" and plain.outcomes.get(name) == "passed"]  # fmt: skip
    again = plain.cpu_seconds and watched.cpu_seconds / plain.cpu_seconds
    return (
        f"{package} {version_of(python, package)}: {passed} pass plainly, {len(worse)} fail only watched, "
        f"{watched.findings} findings, {plain.cpu_seconds:.1f} s -> {watched.cpu_seconds:.1f} s ({again:.2f})"
        f"{' ' + plain.note + watched.note if plain.note or watched.note else ''}"
        + "".join(f"\n    {name}" for name in worse[:10])
    )


def main() -> None:
    """Compare the packages that are given, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("packages", nargs="*", metavar="PACKAGE")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/quiesce_suites"))
    parser.add_argument("--timeout", type=float, default=300, metavar="SECONDS")
    args = parser.parse_args()
    for package in args.packages or TESTS:
        try:
            sys.stdout.write(compare(package, args.folder, args.timeout) + "\n")
        except (subprocess.CalledProcessError, SystemExit) as error:
            sys.stdout.write(f"{package}: {error}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
