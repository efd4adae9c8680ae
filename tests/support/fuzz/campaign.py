# SPDX-License-Identifier: Apache-2.0
"""Many protocols, one after the other: who disagrees, and how often each finding came out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from oracle import Judgement, Options, Unsupported, judge
from oracle.expressions import Failed
from oracle.judge import VIOLATION
from oracle.space import TooLarge

from fuzz import compare, on_threads
from fuzz.draw import protocol
from fuzz.shrink import shrink
from quiesce.errors import QuiesceError

STATES = 3_000
"""States, at the finest grain, of a protocol that is compared: larger ones only take longer."""

EVERY = {"native": 5, "fairness": 7, "threads": 10}
"""One in so many protocols is compared with the native explorer, with other fairness, on threads."""

THREAD_SECONDS = 0.1


@dataclass(frozen=True)
class Disagreement:
    """A protocol on which quiesce and the oracle differ, made small."""

    seed: int
    lines: tuple[str, ...]
    text: str

    def file(self) -> str:
        """Return a stand-alone protocol file with both verdicts at its head."""
        head = [f"# protocol {self.seed}", *(f"# {line}" for line in self.lines)]
        return "\n".join([*head, self.text])


@dataclass
class Campaign:
    """What came out so far.

    :param folder: for files that are needed for a moment.
    :param into: where shrunk disagreements are written, if anywhere.
    """

    folder: Path
    into: Path | None = None
    protocols: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    compared: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    disagreements: list[Disagreement] = field(default_factory=list)
    seconds: float = 0.0
    deadline: float = float("inf")
    """The time of ``time.monotonic()`` at which the campaign ends, shrinking included."""

    def run(self, first: int, seconds: float, most: int = 0) -> None:
        """Compare protocols from number *first* on, for *seconds* or until there were *most*."""
        start = time.monotonic()
        self.deadline = start + seconds
        seed = first
        try:
            while time.monotonic() < self.deadline and not (most and self.protocols >= most):
                self.one(seed)
                seed += 1
        finally:
            self.seconds = time.monotonic() - start

    def one(self, seed: int) -> None:
        """Compare protocol number *seed*."""
        text = protocol(seed)
        try:
            judgement = judge(text, Options(limit=STATES))
        except TooLarge:
            self.passed_over["too large"] += 1
            return
        except Failed:
            self.passed_over["a thread fails before its first step"] += 1
            return
        self.protocols += 1
        self._count(judgement)
        settings = _settings(seed)
        self.compared.update(str(s) for s in settings)
        lines = self.differences(text, judgement, settings)
        if seed % EVERY["threads"] == 0:
            lines += self._on_threads(text, judgement, seed)
        if lines:
            self._report(seed, text, settings, lines)

    def differences(
        self, text: str, judgement: Judgement, settings: list[compare.Setting]
    ) -> list[str]:
        """Return where the two differ; an error of quiesce is a difference."""
        try:
            return compare.disagreements(text, judgement, settings, self.folder)
        except QuiesceError as error:
            return [f"quiesce refuses the protocol: {error}"]
        except Exception as error:
            return [f"quiesce ends in {type(error).__name__}: {error}"]

    def _on_threads(self, text: str, judgement: Judgement, seed: int) -> list[str]:
        scenario = compare.load(text, self.folder)
        lines, states = on_threads.impossible(scenario, judgement, THREAD_SECONDS, seed)
        self.compared["on real threads"] += 1
        self.compared["states of real threads"] += states
        return lines

    def _count(self, judgement: Judgement) -> None:
        kinds = {k for v in judgement.verdicts.values() for k in v.kinds}
        if not judgement.complete:
            kinds.add("not decided")
        elif judgement.never_executed:
            kinds.add("never executed")
        if all(v.verdict != VIOLATION for v in judgement.verdicts.values()):
            kinds.add("(no violation)")
        self.found.update(kinds)

    # --- Disagreements -----------------------------------------------------------------------------------

    def _report(
        self, seed: int, text: str, settings: list[compare.Setting], lines: list[str]
    ) -> None:
        """Shrink a disagreement until the campaign ends, print it, and keep it."""
        found = Disagreement(seed, tuple(lines), text)
        try:
            if not all(line.startswith("threads:") for line in lines):
                for smaller in self._smaller(found, settings):
                    found = smaller
        finally:
            self.disagreements.append(found)
            print(found.file(), flush=True)
            if self.into is not None:
                self.into.mkdir(parents=True, exist_ok=True)
                (self.into / f"{seed}.py").write_text(found.file(), encoding="utf-8")

    def _smaller(
        self, found: Disagreement, settings: list[compare.Setting]
    ) -> Iterator[Disagreement]:
        """Yield the same disagreement on smaller and smaller texts."""
        wanted = _essence(list(found.lines))
        asked = [
            s for s in settings if any(x.startswith(f"{s}: ") for x in found.lines)
        ] or settings
        differs: dict[str, list[str]] = {}

        def interesting(text: str) -> bool:
            differs[text] = [x for x in self._again(text, asked) if _essence([x]) & wanted]
            return bool(differs[text])

        for text in shrink(found.text, interesting, deadline=self.deadline):
            yield Disagreement(found.seed, tuple(differs[text]), text)

    def _again(self, text: str, settings: list[compare.Setting]) -> list[str]:
        """Return the differences on a text that may not be a protocol."""
        try:
            judgement = judge(text, Options(limit=STATES))
        except (TooLarge, Failed, Unsupported, KeyError, AttributeError, TypeError, ValueError,
                IndexError, AssertionError, SyntaxError):  # fmt: skip
            return []
        return self.differences(text, judgement, settings)

    def summary(self) -> str:
        """Return what came out, for a person."""
        lines = [
            f"{self.protocols:,} protocols, {len(self.disagreements)} disagreements, {self.seconds:.0f} s",
            "passed over: " + (_list(self.passed_over) or "none"),
            "with each finding:",
            *(f"  {count:>7,}  {kind}" for kind, count in sorted(self.found.items())),
            "compared:",
            *(f"  {count:>7,}  {setting}" for setting, count in self.compared.items()),
        ]
        if self.disagreements:
            lines.append("disagreements: " + ", ".join(str(d.seed) for d in self.disagreements))
        return "\n".join(lines)


def _settings(seed: int) -> list[compare.Setting]:
    """Return how quiesce is asked about protocol number *seed*."""
    settings = list(compare.REFERENCE)
    if seed % EVERY["native"] == 0:
        settings += compare.NATIVE
    if seed % EVERY["fairness"] == 0:
        settings += compare.FAIRNESS
    return settings


def _essence(lines: list[str]) -> set[str]:
    """Return what a disagreement is about, without the setting: it is to stay while it is shrunk."""
    return {line.partition("; fairness ")[2].partition(": ")[2] or line[:40] for line in lines}


def _list(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
