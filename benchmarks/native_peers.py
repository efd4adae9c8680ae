# SPDX-License-Identifier: Apache-2.0
"""The native explorer beside Spin and a hand-written C search: same protocols, same steps, same run.

Each measurement is a process of its own, the tools take turns, and medians are compared. Seconds are CPU
seconds of the search (for Spin and C, of the whole run: they do nothing else), so that what else the
machine does matters less; translating and compiling is shown apart.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

MODELS = Path(__file__).parent / "models"
REPEATS = 3
SPIN_ORDERS: dict[str, list[str]] = {"depth first": [], "breadth first": ["-DBFS"]}
"""How Spin can search, and the options of its compilation; the faster one is compared with."""
CASES = [("count", 5), ("count", 6), ("peterson", 4), ("lamport", 4)]
GROWTH = {
    "count": [2, 3, 4, 5, 6, 8, 12, 16, 20, 24, 32],
    "count-vcpu": [2, 3, 4, 6, 8, 12, 16],
}
SPIN_MEMORY_MB = 2000
"""What Spin may use of memory on 16 notifiers."""
TLC_AND_OTHERS = ["tlc", "rumur", "ltsmin", "prom2lts-mc"]


@dataclass
class Run:
    """One measured run of one tool; *seconds* is CPU time, *wall* what the clock showed."""

    tool: str
    states: int
    transitions: int
    seconds: float
    wall: float
    bytes_per_state: float
    peak_bytes: int


def main() -> dict[str, Any]:
    """Measure everything; return it as what becomes JSON."""
    machine = about_the_machine()
    first_verdict = _first_verdict()
    with tempfile.TemporaryDirectory() as folder:
        results = {f"{m} {n}": _case(m, n, Path(folder)) for m, n in CASES}
    return {
        "machine": machine,
        "cases": results,
        "cores": [_cores("count", 6), _cores("count", 7)],
        "whole_check": _whole_check(7),
        "growth": _growth(),
        "spin_on_16": _spin_on_many(16),
        "first_verdict": first_verdict,
        "not_found": [t for t in ["spin", "gcc", *TLC_AND_OTHERS] if shutil.which(t) is None],
    }


def about_the_machine() -> dict[str, Any]:
    """Return what the figures depend on: the processor, what else runs, and the versions of the tools."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    versions = {"Python": platform.python_version()}
    for package in ("numba", "llvmlite", "numpy"):
        versions[package] = importlib.metadata.version(package)
    for tool, option in (("spin", "-V"), ("gcc", "--version")):
        if shutil.which(tool):
            versions[tool] = _call([tool, option]).splitlines()[0]
    return {
        "processor": names[0] if names else platform.processor() or "unknown",
        "cores": os.cpu_count(),
        "load": [round(x, 1) for x in os.getloadavg()],
        "versions": versions,
    }


def _case(model: str, size: int, folder: Path) -> dict[str, Any]:
    runs: dict[str, list[Run]] = {}
    tools: dict[str, Any] = {"quiesce": lambda: ours(model, size)}
    build = {}
    if shutil.which("spin") and shutil.which("gcc"):
        for order, option in SPIN_ORDERS.items():
            started = time.perf_counter()
            pan = _build_spin(model, size, folder / order, *option)
            build[f"spin {order}"] = time.perf_counter() - started
            tools[f"spin {order}"] = partial(_spin_as_large, pan, runs)
    source = MODELS / f"{model}.c"
    if source.exists() and shutil.which("gcc"):
        binary = folder / f"{model}{size}"
        _call(["gcc", "-O3", f"-DN={size}", "-o", str(binary), str(source)])
        tools["C"] = lambda: _c(binary)
    runs.update({name: [] for name in tools})
    for _ in range(REPEATS):
        for name, measure in tools.items():
            runs[name].append(measure())
    medians = {name: _median(found) for name, found in runs.items()}
    counts = {name: (r.states, r.transitions) for name, r in medians.items()}
    if len(set(counts.values())) != 1:
        raise SystemExit(f"{model} {size}: the tools disagree: {counts}")
    return {
        "build_seconds": build,
        "runs": {name: asdict(r) for name, r in _better(medians).items()},
    }


def _better(medians: dict[str, Run]) -> dict[str, Run]:
    """Return *medians* with the faster one of Spin's two orders as ``spin``, which says which it is."""
    orders = [name for name in medians if name.startswith("spin ")]
    best = min(orders, key=lambda name: medians[name].seconds, default="")
    found = {name: run for name, run in medians.items() if name not in orders}
    if best:
        found["spin"] = replace(medians[best], tool=best)
    return found


def _median(runs: list[Run]) -> Run:
    return sorted(runs, key=lambda r: r.seconds)[len(runs) // 2]


def ours(model: str, size: int, *options: str) -> Run:
    """Measure the native explorer."""
    out = _call([sys.executable, "-m", "benchmarks.native_run", model, str(size), *options])
    found = json.loads(out)
    if found["incomplete"]:
        raise SystemExit(f"{model} {size}: {found['incomplete']}")
    return Run(
        "quiesce", found["states"], found["transitions"], found["cpu_seconds"], found["seconds"],
        found["bytes_per_state"], found["peak_bytes"],
    )  # fmt: skip


def _build_spin(model: str, size: int, folder: Path, *options: str) -> Path:
    place = folder / f"spin-{model}-{size}"
    place.mkdir(parents=True)
    source = (MODELS / f"{model}.pml").resolve()
    _call(["spin", "-o1", "-o2", "-o3", f"-DN={size}", "-a", str(source)], place)
    _call(["gcc", "-O2", "-DSAFETY", "-DNOREDUCE", "-w", *options, "-o", "pan", "pan.c"], place)
    return place / "pan"


def _spin_as_large(pan: Path, runs: dict[str, list[Run]]) -> Run:
    """Run Spin's verifier on as many states as we found."""
    return _spin(pan, runs["quiesce"][0].states)


def _spin(pan: Path, expected: int) -> Run:
    """Run Spin's verifier with a hash table of as many slots as there are states, rounded up."""
    slots = f"-w{max(18, (expected - 1).bit_length())}"
    out, cpu, wall, peak = _timed([str(pan), "-m10000000", slots])
    states = int(_found(r"(\d+) states, stored", out))
    # Spin counts the initial state among the transitions.
    transitions = int(_found(r"(\d+) transitions", out)) - 1
    kept = float(_found(r"([\d.]+)\s+actual memory usage for states", out))
    table = float(_found(r"([\d.]+)\s+memory used for hash table", out))
    return Run("spin", states, transitions, cpu, wall, (kept + table) * 2**20 / states, peak)


def _c(binary: Path) -> Run:
    out, cpu, wall, peak = _timed([str(binary)])
    states = int(_found(r"(\d+) states", out))
    transitions = int(_found(r"(\d+) transitions", out))
    return Run("C", states, transitions, cpu, wall, peak / states, peak)


def _timed(command: list[str]) -> tuple[str, float, float, int]:
    """Run *command*; return its output, CPU seconds, wall-clock seconds and peak memory."""
    code = (
        "import resource, subprocess, sys, time, json\n"
        "t = time.perf_counter()\n"
        "out = subprocess.run(sys.argv[1:], capture_output=True, text=True).stdout\n"
        "t = time.perf_counter() - t\n"
        "u = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps([out, u.ru_utime + u.ru_stime, t, u.ru_maxrss * 1024]))\n"
    )
    out, cpu, wall, peak = json.loads(_call([sys.executable, "-c", code, *command]))
    return out, cpu, wall, peak


def _cores(model: str, size: int) -> dict[str, Any]:
    """Compare two cores with one by the clock."""
    walls: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(REPEATS):
        for cores in walls:
            walls[cores].append(ours(model, size, "--cores", str(cores)).wall)
    one, two = (statistics.median(walls[c]) for c in (1, 2))
    return {"model": f"{model} {size}", "one": one, "two": two, "speedup": one / two}


def _whole_check(notifiers: int) -> dict[str, Any]:
    """Check the count protocol for everything, starvation included, with a space of millions."""
    command = [
        sys.executable, "-m", "quiesce", "check", "benchmarks/models/count.py:CountProtocol",
        "--set", f"notifiers={notifiers}", "--no-symmetry", "--json",
    ]  # fmt: skip
    out, cpu, wall, peak = _timed(command)
    found = json.loads(out)
    starving = [p["verdict"] for p in found["properties"] if p["name"] == "no_starvation"]
    if starving != ["violation"]:
        raise SystemExit(f"the whole check found {starving}")
    return {
        "notifiers": notifiers, "states": found["states"], "transitions": found["transitions"],
        "seconds": wall, "cpu_seconds": cpu, "peak_bytes": peak,
    }  # fmt: skip


def _growth() -> list[dict[str, Any]]:
    """The count protocol with more and more notifiers, symmetry on, on two cores."""
    options = ["--symmetry", "--cores", "2"]
    return [
        {"model": model, "notifiers": n, **asdict(ours(model, n, *options))}
        for model, sizes in GROWTH.items()
        for n in sizes
    ]


def _spin_on_many(notifiers: int) -> dict[str, Any]:
    """Let Spin search the count protocol with many notifiers until its memory is used up."""
    if not (shutil.which("spin") and shutil.which("gcc")):
        return {}
    with tempfile.TemporaryDirectory() as folder:
        pan = _build_spin("count", notifiers, Path(folder), f"-DMEMLIM={SPIN_MEMORY_MB}")
        out, cpu, _, peak = _timed([str(pan), "-m10000000", "-w24"])
    states = int(_found(r"(\d+) states, stored", out))
    complete = "Search not completed" not in out
    return {
        "notifiers": notifiers, "states": states, "seconds": cpu, "peak_bytes": peak,
        "complete": complete,
    }  # fmt: skip


def _first_verdict() -> dict[str, float]:
    """From the source file to the verdict, everything anew: us, and spin, gcc and pan."""
    root = Path(__file__).parent.parent
    command = [
        sys.executable, "-m", "quiesce", "check", "benchmarks/models/count.py:CountProtocol",
        "--set", "notifiers=2", "--quiet",
    ]  # fmt: skip
    times = {"quiesce": [], "spin": []}  # type: dict[str, list[float]]
    for _ in range(REPEATS):
        started = time.perf_counter()
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        times["quiesce"].append(time.perf_counter() - started)
        _found("(starvation): .* waits", done.stdout)
        if shutil.which("spin") and shutil.which("gcc"):
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                pan = _build_spin("count", 2, Path(folder))
                _call([str(pan)])
                times["spin"].append(time.perf_counter() - started)
    return {tool: statistics.median(t) for tool, t in times.items() if t}


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise SystemExit(f"no {pattern!r} in: {text}")
    return match.group(1)


def _call(command: list[str], folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return done.stdout


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
