# SPDX-License-Identifier: Apache-2.0
"""How fast a large log is read: 100 MB of console text, with and without reports in it."""

from __future__ import annotations

import io
import time
from pathlib import Path

from quiesce.explain.log import explain_stream

FIXTURES = Path(__file__).parent.parent / "tests" / "data" / "splats"
SIZE = 100_000_000


def plain_log(size: int) -> str:
    """Return *size* characters of ordinary kernel messages."""
    lines = [
        f"[{n / 7:12.6f}][ T{n % 997}] gizmo 0000:00:{n % 32:02x}.0: ring {n % 8} stalled, tail {n}"
        for n in range(9_000)
    ]
    block = "\n".join(lines) + "\n"
    return block * (size // len(block) + 1)


def log_with_reports(size: int, every: int) -> str:
    """Return a log of *size* characters with one of our reports every *every* characters."""
    noise = plain_log(every)[:every]
    noise = noise[: noise.rindex("\n") + 1]
    reports = [path.read_text(encoding="utf-8") for path in sorted(FIXTURES.glob("*.txt"))]
    parts: list[str] = []
    length = 0
    while length < size:
        parts += [noise, reports[len(parts) // 2 % len(reports)]]
        length += len(parts[-1]) + len(parts[-2])
    return "".join(parts)


def hostile_log(size: int) -> str:
    """Return text that looks like the start of a report again and again and never is one."""
    line = (
        "WARNING: possible circular locking dependency detected\n"
        "(&a[(((" + "(" * 200 + "\n" + "-> #1 (" + "x" * 300 + "\n" + "+0x" * 100 + "\n"
    )
    return line * (size // len(line) + 1)


def measure(text: str) -> tuple[float, int]:
    """Return the seconds that *text* takes and how many reports were found."""
    start = time.perf_counter()
    found = len(explain_stream(io.StringIO(text)).reports)
    return time.perf_counter() - start, found


def main(size: int = SIZE) -> dict[str, float]:
    """Return seconds and report counts for each kind of log of *size* characters."""
    result: dict[str, float] = {}
    for name, text in (
        ("plain", plain_log(size)),
        ("a report every MB", log_with_reports(size, 1_000_000)),
        ("a report every 20 kB", log_with_reports(size, 20_000)),
        ("hostile", hostile_log(size)),
    ):
        seconds, found = measure(text)
        result[f"{name}: seconds"] = round(seconds, 2)
        result[f"{name}: reports"] = found
    return result


if __name__ == "__main__":
    for key, value in main().items():
        print(f"{key:32} {value}")
