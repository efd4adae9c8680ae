# SPDX-License-Identifier: Apache-2.0
"""``quiesce`` alone, in CPU seconds by part: ``python -m benchmarks.story_parts``.

It is run twice, in new processes: with an empty cache directory, and with the one that is left.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _timed(module: Any, name: str, parts: dict[str, float], part: str) -> None:
    """Let the CPU time of a function of *module* be counted as *part*, and not as the part around it."""
    inner: Callable[..., Any] = getattr(module, name)

    @functools.wraps(inner)
    def call(*args: Any, **kwargs: Any) -> Any:
        before, known = time.process_time(), sum(parts.values())
        try:
            return inner(*args, **kwargs)
        finally:
            inside = sum(parts.values()) - known
            parts[part] = parts.get(part, 0.0) + time.process_time() - before - inside

    setattr(module, name, call)


def run_once() -> dict[str, float]:
    """Run ``quiesce`` in this process; return the CPU seconds of each part."""
    parts: dict[str, float] = {"start of Python": time.process_time()}
    from quiesce import cli
    from quiesce.commands import kvm
    from quiesce.explorer import engine

    parts["imports"] = time.process_time() - parts["start of Python"]
    _timed(kvm, "compile_scenario", parts, "compile the designs")
    _timed(kvm, "lockdep_of", parts, "lockdep")
    _timed(engine, "_first_look", parts, "first look of the reference explorer")
    _timed(engine, "_check_natively", parts, "native check")
    _timed(engine, "_load_kernels", parts, "import numba, load kernels")
    with contextlib.redirect_stdout(io.StringIO()):
        code = cli.main(["--quiet"])
    assert code == 0
    parts["the rest"] = time.process_time() - sum(parts.values())
    return parts


def main() -> None:
    """Run it cold and warm and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    if parser.parse_args().once:
        print(json.dumps(run_once()))
        return
    columns: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as cache:
        for column in ("cold", "warm"):
            started = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.story_parts", "--once"],
                env={**os.environ, "NUMBA_CACHE_DIR": cache}, capture_output=True, text=True, check=True,
            )  # fmt: skip
            parts = json.loads(done.stdout)
            parts["in all, but for compiling kernels"] = sum(parts.values())
            parts["wall clock"] = time.monotonic() - started
            columns[column] = parts
            # The process that compiles ends by itself.
            while all(file.suffix == ".lock" for file in Path(cache).rglob("compiled-*")):
                time.sleep(0.1)
    print(f"{'CPU seconds':38}{'cold':>8}{'warm':>8}")
    for part in columns["cold"]:
        row = [columns[c].get(part, 0.0) for c in ("cold", "warm")]
        print(f"{part:38}" + "".join(f"{x:8.2f}" for x in row))


if __name__ == "__main__":
    main()
