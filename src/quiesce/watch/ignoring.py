# SPDX-License-Identifier: Apache-2.0
"""What not to report: ignore rules, and a baseline of findings that are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from quiesce.errors import UsageError
from quiesce.outputs import write_file
from quiesce.watch.findings import WatchFinding

_HEADER = (
    "# Known findings of quiesce watch. One a line; a line that is removed is reported again.\n"
)


@dataclass(frozen=True)
class Rules:
    """Which findings not to report.

    :ivar patterns: shell patterns; a finding is ignored if one matches the name of one of its locks,
        or a file that it names.
    :ivar known: keys of findings that are known, see :attr:`WatchFinding.key`.
    """

    patterns: tuple[str, ...] = ()
    known: frozenset[str] = field(default_factory=frozenset)

    def and_also(self, others: Rules) -> Rules:
        """Return both rules as one."""
        return Rules((*self.patterns, *others.patterns), self.known | others.known)

    def ignore(self, finding: WatchFinding) -> bool:
        """True if *finding* is not to be reported."""
        if finding.key in self.known:
            return True
        names = {name for name, _ in finding.locks if name} | finding.files
        return any(fnmatch(name, pattern) for name in names for pattern in self.patterns)


def read_baseline(path: str) -> frozenset[str]:
    """Return the keys in a baseline file.

    :raises UsageError: the file cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read the baseline {path}: {error}\n"
            "  help: --write-baseline writes one with what is found now"
        ) from error
    lines = (line.strip() for line in text.splitlines())
    return frozenset(line for line in lines if line and not line.startswith("#"))


def write_baseline(path: str, found: list[WatchFinding]) -> None:
    """Write a baseline file with all that was *found*.

    :raises UsageError: the file cannot be written.
    """
    keys = sorted({finding.key for finding in found})
    write_file(path, _HEADER + "".join(f"{key}\n" for key in keys))
