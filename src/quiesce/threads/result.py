# SPDX-License-Identifier: Apache-2.0
"""What a run on real threads found out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from quiesce.properties import FindingKind
from quiesce.verdict import Verdict

LONG_SHARE = 4
OVERTAKEN = 100
"""A run is not decided if a thread was held up for at least one part in ``LONG_SHARE`` of it, and each
other thread took ``OVERTAKEN`` steps meanwhile: several turns of its loop, so it is not just slow."""


@dataclass(frozen=True)
class SourceSite:
    """A line of the protocol's source.

    :param file: path, relative to the working directory where it is below it.
    :param line: 1-based.
    :param text: the line without its indentation.
    """

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Holder:
    """A thread that holds a lock, in which mode, and where it acquired it."""

    thread: str
    mode: str
    site: SourceSite


@dataclass(frozen=True)
class ThreadReport:
    """What one thread was doing when something was found.

    :param name: ``notifier/0``.
    :param doing: ``waits``, ``runs`` or ``finished``.
    :param step: label of the step that it waits in, ``spin_lock``; empty unless it waits.
    :param lock: path of the lock that it waits for; empty if it waits for something else.
    :param mode: how it wants that lock: ``exclusive``, ``shared`` or ``shared recursive``.
    :param seconds: for how long.
    :param site: the source line that it is at.
    :param held_by: the threads that hold that lock.
    :param holds: what the thread itself holds: (path of the lock, where it was taken).
    """

    name: str
    doing: str
    step: str = ""
    lock: str = ""
    mode: str = ""
    seconds: float = 0.0
    site: SourceSite | None = None
    held_by: tuple[Holder, ...] = ()
    holds: tuple[tuple[str, SourceSite], ...] = ()


@dataclass(frozen=True)
class RunFinding:
    """One thing that went wrong.

    :param message: one sentence, complete without the rest.
    :param threads: those concerned, and what they were doing.
    :param site: where it happened, if it happened at a place.
    :param state: variables that had left their initial value: (``counter.users``, ``2``).
    :param seconds: how long a ``long wait`` lasted.
    :param steps: how many steps each other thread took meanwhile, on average.
    """

    kind: FindingKind
    message: str
    threads: tuple[ThreadReport, ...] = ()
    site: SourceSite | None = None
    state: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0
    steps: int = 0


@dataclass(frozen=True)
class Recurrence:
    """How an ``@eventually`` property fared: see ``progress.py``.

    :param name: of the property.
    :param times: how often it came true.
    :param longest_false: for how many seconds it was false at most, after every step.
    :param steps: how many steps each thread took in that time, on average.
    :param informational: it decides nothing.
    """

    name: str
    times: int
    longest_false: float
    steps: int
    informational: bool


@dataclass(frozen=True)
class ThreadRole:
    """All threads of one kind, over all rounds.

    :param kind: name of the ``@thread`` method.
    :param threads: how many of them run side by side.
    :param steps: protocol steps that they took: atomic methods, waits and marked accesses.
    :param finished: how many times one of them returned from its method.
    """

    kind: str
    threads: int
    steps: int
    finished: int


@dataclass(frozen=True)
class RunResult:
    """What a run found out.

    :param scenario: name of the scenario's class.
    :param seed: the seed of the run.
    :param seconds: how long it ran, start and stop of the threads included.
    :param rounds: how many times the scenario was started.
    :param looks: how many times the world stood still and the invariants were evaluated.
    :param roles: what each kind of thread got done.
    :param findings: what went wrong; a run ends with the first moment that has any.
    :param notes: long waits.
    :param recurrences: how the ``@eventually`` properties fared.
    :param patience: seconds without a step from which a wait is a long one.
    """

    scenario: str
    seed: int
    seconds: float
    rounds: int
    looks: int
    roles: tuple[ThreadRole, ...]
    findings: tuple[RunFinding, ...] = ()
    notes: tuple[RunFinding, ...] = field(default=())
    recurrences: tuple[Recurrence, ...] = ()
    patience: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """VIOLATION if anything was found, INCOMPLETE if a thread may have starved.

        HOLDS only means that this run saw no violation: it proves nothing.
        """
        if self.findings:
            return Verdict.VIOLATION
        return Verdict.INCOMPLETE if self.undecided else Verdict.HOLDS

    @property
    def undecided(self) -> tuple[str, ...]:
        """Why a run without a finding is not decided: what took a large part of its time."""
        if self.findings:
            return ()
        whole = f"of {self.seconds:.1f} s"
        waits = [
            f"{note.message.removesuffix(' while others moved')} {whole}; each other thread took "
            f"{note.steps:,} steps meanwhile"
            for note in self.notes
            if self._is_held_up(note.seconds, note.steps)
        ]
        lacks = [
            f"{r.name} {_came_true(r.times)} and was false for {r.longest_false:.1f} s {whole}"
            for r in self.recurrences
            if self._is_held_up(r.longest_false, r.steps) and not r.informational
        ]
        return (*lacks, *waits)

    def _is_held_up(self, seconds: float, steps: int) -> bool:
        return seconds >= max(self.patience, self.seconds / LONG_SHARE) and steps >= OVERTAKEN

    def to_dict(self) -> dict[str, Any]:
        """Return the result as the object that ``--json`` prints."""
        return {
            "schema": 1,
            "scenario": self.scenario,
            "verdict": self.verdict.value,
            "seed": self.seed,
            "seconds": round(self.seconds, 3),
            "rounds": self.rounds,
            "looks": self.looks,
            "roles": [self._role(role) for role in self.roles],
            "findings": [_finding(finding) for finding in self.findings],
            "notes": [_finding(note) for note in self.notes],
            "eventually": [
                {
                    "name": r.name,
                    "informational": r.informational,
                    "times": r.times,
                    "longest_false": round(r.longest_false, 3),
                    "steps": r.steps,
                }
                for r in self.recurrences
            ],
            "incomplete_because": "; ".join(self.undecided) or None,
            "proved": False,
        }

    def per_second(self, role: ThreadRole) -> float:
        """Return the steps per second of all threads of *role* together."""
        return role.steps / self.seconds if self.seconds else 0.0

    def _role(self, role: ThreadRole) -> dict[str, Any]:
        return {
            "kind": role.kind,
            "threads": role.threads,
            "steps": role.steps,
            "steps_per_second": round(self.per_second(role), 1),
            "finished": role.finished,
        }


def _came_true(times: int) -> str:
    if times == 0:
        return "never came true"
    return "came true once" if times == 1 else f"came true {times:,} times"


def _finding(finding: RunFinding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "message": finding.message,
        "site": _site(finding.site),
        "threads": [_thread(report) for report in finding.threads],
        "state": dict(finding.state),
        "seconds": round(finding.seconds, 3),
        "steps": finding.steps,
    }


def _thread(report: ThreadReport) -> dict[str, Any]:
    return {
        "name": report.name,
        "doing": report.doing,
        "step": report.step,
        "lock": report.lock,
        "mode": report.mode,
        "seconds": round(report.seconds, 3),
        "site": _site(report.site),
        "held_by": [
            {"thread": h.thread, "mode": h.mode, "site": _site(h.site)} for h in report.held_by
        ],
        "holds": [{"lock": lock, "site": _site(site)} for lock, site in report.holds],
    }


def _site(site: SourceSite | None) -> dict[str, Any] | None:
    return None if site is None else {"file": site.file, "line": site.line, "text": site.text}
