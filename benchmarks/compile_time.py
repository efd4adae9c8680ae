# SPDX-License-Identifier: Apache-2.0
"""How long a thread of 20,000 statements takes to compile, against CPython's own ``compile()`` of it.

CPU seconds, medians of three; the two take turns. What quiesce takes is everything from the loaded
scenario to the steps that an explorer is handed. The ratio says more than the seconds of one machine.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from quiesce.compiler.program import compile_scenario
from quiesce.loading import load_scenario

STATEMENTS = 20_000
ROUNDS = 3

HEAD = """\
from quiesce.protocol import *


class Long(Scenario):
    x = Int(0, high=9)
    y = Int(0, high=9)

    @thread()
    def user(self) -> None:
"""

KINDS = (
    "self.x = (self.x + 1) % 5",
    "WRITE_ONCE(self).x = READ_ONCE(self.y) % 3",
    "v = self.y",
    "assert self.x >= 0",
)


def source(statements: int) -> str:
    """Return a scenario with one thread of so many *statements*, of four kinds in turn."""
    lines = [f"        {KINDS[i % len(KINDS)]}\n" for i in range(statements)]
    return HEAD + "".join(lines)


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds that *work* takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> dict[str, float]:
    """Return the seconds of both, and how many times as long quiesce takes."""
    text = source(STATEMENTS)
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.py"
        path.write_text(text, encoding="utf-8")
        for _ in range(ROUNDS):
            scenario = load_scenario(f"{path}:Long", [])
            ours.append(seconds(partial(compile_scenario, scenario)))
            theirs.append(seconds(lambda: compile(text, str(path), "exec")))
    mine, python = statistics.median(ours), statistics.median(theirs)
    return {
        "statements": STATEMENTS,
        "quiesce_cpu_seconds": round(mine, 2),
        "python_compile_cpu_seconds": round(python, 3),
        "ratio": round(mine / python, 1),
    }


if __name__ == "__main__":
    for name, value in main().items():
        sys.stdout.write(f"{name}: {value:,}\n")
