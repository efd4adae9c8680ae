# SPDX-License-Identifier: Apache-2.0
"""The four verdicts of a check, and the exit codes that every command shares."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Verdict(Enum):
    """What a check found out. Ordered by how much it should worry: see :func:`worst`."""

    HOLDS = "holds"
    """Everything asked for holds, on the whole space."""

    INCOMPLETE = "incomplete"
    """A bound was hit before the space was exhausted and no violation was met: never a pass."""

    VIOLATION = "violation"
    """A counterexample was found."""

    ERROR = "error"
    """The tool itself failed; nothing is known."""

    @property
    def exit_code(self) -> int:
        """The process exit code: 0 holds, 1 violation, 3 incomplete, 4 internal error."""
        return _EXIT_CODES[self]


_EXIT_CODES = {
    Verdict.HOLDS: 0,
    Verdict.VIOLATION: 1,
    Verdict.INCOMPLETE: 3,
    Verdict.ERROR: 4,
}

EXIT_USAGE = 2
"""The request or the source is wrong: nothing was checked."""

EXIT_UNEXPECTED = 1
"""Something came out otherwise than expected."""

_SEVERITY = [Verdict.HOLDS, Verdict.INCOMPLETE, Verdict.VIOLATION, Verdict.ERROR]


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the most worrying of *verdicts*; HOLDS for none. A combination never rounds up."""
    return max(verdicts, key=_SEVERITY.index, default=Verdict.HOLDS)
