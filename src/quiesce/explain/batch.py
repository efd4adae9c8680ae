# SPDX-License-Identifier: Apache-2.0
"""Explain many logs at once, on all cores, and group what was found by problem."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from quiesce.errors import UsageError
from quiesce.explain.judge.answer import Judgement
from quiesce.explain.log import Explained, ExplainedLog, explain_bytes

SummaryForm = Callable[[Explained], dict[str, Any]]
"""Makes the data of one report that a caller wants; a function of a module, for it goes to others."""

_FEW = 8
"""So few files are not worth starting other processes."""


@dataclass(frozen=True)
class FoundReport:
    """One report of one file, as far as a summary needs it.

    :param data: what the caller's form made of it, empty without one.
    """

    file: str
    line: int
    kind: str
    fingerprint: str
    verdict: Judgement
    text: str
    complete: bool
    data: dict[str, Any]


@dataclass(frozen=True)
class FileResult:
    """What was found in one file.

    :param error: why it could not be read as a log; empty if it could.
    :param unread: how many more reports it has than are read of one log.
    """

    file: str
    error: str = ""
    found: tuple[FoundReport, ...] = ()
    unread: int = 0


@dataclass(frozen=True)
class ReportGroup:
    """All reports of one problem, in the order of the files.

    :param typical: the first report with the verdict that most of them have.
    """

    fingerprint: str
    found: tuple[FoundReport, ...]
    typical: FoundReport

    @property
    def verdicts(self) -> dict[Judgement, int]:
        """How many of its reports have which verdict, the most frequent first."""
        return dict(Counter(one.verdict for one in self.found).most_common())

    @property
    def files(self) -> int:
        return len({one.file for one in self.found})


def files_of(paths: Iterable[str]) -> list[str]:
    """Return *paths* with each folder replaced by the files in it, sorted; hidden ones are left out.

    :raises UsageError: one of them is not there, or a folder cannot be listed.
    """
    files: list[str] = []
    for name in paths:
        path = Path(name)
        if not path.is_dir():
            if not path.exists():
                raise UsageError(f"cannot read {name}: no such file or directory")
            files.append(name)
            continue
        for folder, folders, names in os.walk(path, onerror=_refused):
            folders[:] = sorted(one for one in folders if not one.startswith("."))
            places = [Path(folder, one) for one in sorted(names) if not one.startswith(".")]
            files += [str(place) for place in places if place.is_file()]
    return list(dict.fromkeys(files))


def _refused(error: OSError) -> None:
    raise UsageError(f"cannot list {error.filename}: {error.strerror}") from None


def explain_files(
    files: Sequence[str], form: SummaryForm | None = None, cores: int = 0
) -> Iterator[FileResult]:
    """Yield what is in each of *files*, in their order, as soon as it is known.

    :param form: makes the data of each report.
    :param cores: how many processes work; 0 for one on each core.
    """
    work = partial(_explain_file, form=form)
    cores = min(cores or _cores(), len(files))
    if cores <= 1 or len(files) <= _FEW:
        yield from map(work, files)
        return
    chunk = max(1, min(16, len(files) // (cores * 8)))
    pool = ProcessPoolExecutor(cores, initializer=_leave_signals_to_the_parent)
    try:
        yield from pool.map(work, files, chunksize=chunk)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _cores() -> int:
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def _leave_signals_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _explain_file(file: str, form: SummaryForm | None) -> FileResult:
    try:
        with open(file, "rb") as stream:
            log = explain_bytes(stream, file)
    except UsageError as error:
        return FileResult(file, str(error).partition("\n")[0])
    except OSError as error:
        return FileResult(file, f"cannot read {file}: {error.strerror}")
    return FileResult(file, "", tuple(found_in(file, log, form)), log.unread)


def found_in(
    file: str, log: ExplainedLog, form: SummaryForm | None = None
) -> Iterator[FoundReport]:
    """Yield what is in *log*, which was read from *file*; *form* makes the data of each report."""
    for one in log.reports:
        answer = one.explanation.answer
        yield FoundReport(
            file,
            one.report.line,
            one.report.kind,
            one.fingerprint,
            answer.verdict,
            answer.text,
            one.report.complete,
            form(one) if form is not None else {},
        )


def grouped(results: Iterable[FileResult]) -> list[ReportGroup]:
    """Return all that was found, by problem, the most frequent first."""
    groups: dict[str, list[FoundReport]] = {}
    for result in results:
        for one in result.found:
            groups.setdefault(one.fingerprint, []).append(one)
    made = []
    for fingerprint, found in groups.items():
        most = Counter(one.verdict for one in found).most_common(1)[0][0]
        typical = next(one for one in found if one.verdict is most)
        made.append(ReportGroup(fingerprint, tuple(found), typical))
    return sorted(made, key=lambda group: -len(group.found))
