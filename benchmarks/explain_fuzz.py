# SPDX-License-Identifier: Apache-2.0
"""Feed damaged logs to the splat reader: no exception, and no log may take a second.

The seeds are the reports of a folder of real ones where it is given or lies beside the checkout,
and our own fixtures otherwise. Mutations: bytes changed, lines cut, lines swapped, repeated, glued,
pieces of two logs interleaved, lines wrapped as the records of a daemon. Each tenth log is packed, and
half of those are damaged after that: what cannot be unpacked must be refused.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import lzma
import random
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from quiesce.errors import UsageError
from quiesce.explain.log import ExplainedLog, explain_bytes, explain_text
from quiesce.explain.show import as_html, as_json, as_markdown, as_text

ROOT = Path(__file__).parent.parent
FIXTURES = ROOT / "tests" / "data" / "splats"
CORPUS = ROOT.parent / "shared" / "reference" / "splats"
MAX_SEED = 40_000
LIMIT_SECONDS = 1.0
_TOKENS = ("){", "}-{", "-> #0 (", " #1: ", "at:", "[<", ">]", "+0x1/0x2", "(", ")", "> ", "#012",
           "=" * 54, "-" * 54, "lock(", "\x00", "\u00a0", "-> #9999 (a){....}:", "[ 1.0]",
           '{"MESSAGE": "', '"msg": "', "MESSAGE=", "4,1,2,-;", "4,1,2,-,caller=T1;", "_RNvCs1_3foo3bar",
           "_ZN3foo3bar17h0123456789abcdefE", "INFO: task a:1 blocked for more than 9 seconds.",
           "Showing all locks held in the system:", "1 lock held by a/1:", "DEPT: Circular dependency",
           "1st 0x1 a (a, mutex) @ b.c:1", "rcu: INFO: rcu_sched self-detected stall on CPU",
           "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [a:1]")  # fmt: skip


def read_seeds(folder: Path | None = None) -> list[str]:
    """Return the texts to damage."""
    files = sorted(FIXTURES.glob("*.txt"))
    corpus = folder or CORPUS
    if corpus.is_dir():
        files += [p for p in sorted(corpus.rglob("*")) if p.is_file() and p.name != "index.tsv"]
    return [p.read_text(encoding="utf-8", errors="replace")[:MAX_SEED] for p in files]


def mutate(text: str, other: str, rng: random.Random) -> str:
    """Return *text* damaged in one to four ways."""
    for _ in range(rng.randint(1, 4)):
        choice = rng.randrange(8)
        if choice == 0:
            text = _bytes(text, rng)
        elif choice == 1:
            text = _tokens(text, rng)
        elif choice == 7:
            text = _records(text.split("\n"), rng)
        else:
            lines = text.split("\n")
            text = "\n".join(_lines(lines, other.split("\n"), choice, rng))
    return text


def _bytes(text: str, rng: random.Random) -> str:
    chars = list(text)
    for _ in range(rng.randint(1, 20)):
        if chars:
            chars[rng.randrange(len(chars))] = chr(rng.choice((rng.randrange(128), 0xFFFD, 0x20)))
    return "".join(chars)


def _tokens(text: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(_TOKENS) + text[at:]
    return text


def _lines(lines: list[str], other: list[str], choice: int, rng: random.Random) -> list[str]:
    count = len(lines)
    first = rng.randrange(count)
    last = min(count, first + rng.randint(1, 30))
    if choice == 2:
        del lines[first:last]
    elif choice == 3:
        piece = lines[first:last]
        rng.shuffle(piece)
        lines[first:last] = piece
    elif choice == 4:
        lines[first:first] = lines[first:last]
    elif choice == 5:
        lines[first:last] = ["".join(lines[first:last])]
    else:
        return _interleave(lines, other, rng)
    return lines or [""]


def _records(lines: list[str], rng: random.Random) -> str:
    """Wrap all lines, or some, as records."""
    wrap = rng.choice(_WRAPS)
    share = rng.choice((1.0, 1.0, 0.9))
    return "\n".join(wrap(line) if rng.random() < share else line for line in lines)


_WRAPS: tuple[Callable[[str], str], ...] = (
    lambda line: json.dumps({"MESSAGE": line, "_TRANSPORT": "kernel"}),
    lambda line: json.dumps({"MESSAGE": list(line.encode())}),
    lambda line: json.dumps({"log": line + "\n", "stream": "stdout"}),
    lambda line: f'  "msg": {json.dumps(line)}',
    lambda line: f"MESSAGE={line}\n_TRANSPORT=kernel\n",
    lambda line: f"4,17,95314279,-,caller=T1;{line}",
)

_PACKERS: tuple[Callable[[bytes], bytes], ...] = (
    gzip.compress,
    lzma.compress,
    lambda data: data.decode().encode("utf-16"),
    lambda data: data.decode().encode("utf-16-le"),
)


def _explain_packed(text: str, rng: random.Random) -> ExplainedLog | None:
    """Explain *text* as a packed file; None where that is refused."""
    data = bytearray(rng.choice(_PACKERS)(text.encode("utf-8", "replace")))
    if data and rng.random() < 0.5:
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
    try:
        return explain_bytes(io.BytesIO(bytes(data)), "a log")
    except UsageError:
        return None


def _interleave(one: list[str], other: list[str], rng: random.Random) -> list[str]:
    """Merge the two in random runs, each keeping its order, as two CPUs print."""
    mixed: list[str] = []
    at = [0, 0]
    sources = (one, other)
    while at[0] < len(one) or at[1] < len(other):
        which = rng.randrange(2)
        take = rng.randint(1, 8)
        mixed += sources[which][at[which] : at[which] + take]
        at[which] += take
    return mixed


def run(count: int, seed: int = 1, folder: Path | None = None) -> dict[str, float]:
    """Feed *count* damaged logs; return how many raised, how many were slow, and the worst time."""
    seeds = read_seeds(folder)
    rng = random.Random(seed)
    worst = total = 0.0
    failures = slow = reports = refused = 0
    for number in range(count):
        text = mutate(rng.choice(seeds), rng.choice(seeds), rng)
        start = time.perf_counter()
        try:
            log = _explain_packed(text, rng) if number % 10 == 9 else explain_text(text)
            if log is None:
                refused += 1
                continue
            reports += len(log.reports)
            if number % 50 == 0:
                as_text.render(log)
                as_markdown.render(log)
                as_html.render(log)
                as_json.to_json(log)
        except Exception:
            failures += 1
            if failures <= 3:
                traceback.print_exc()
        seconds = time.perf_counter() - start
        total += seconds
        worst = max(worst, seconds)
        slow += seconds > LIMIT_SECONDS
    return {
        "logs": count,
        "reports": reports,
        "refused": refused,
        "exceptions": failures,
        "over one second": slow,
        "worst seconds": round(worst, 3),
        "total seconds": round(total, 1),
    }


def main(count: int = 200_000) -> dict[str, float]:
    """Run with *count* logs."""
    return run(count)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for key, value in run(arguments.count, arguments.seed).items():
        print(f"{key:20} {value}")
