# SPDX-License-Identifier: Apache-2.0
"""The notices by which lockdep turns itself off: a key without a class, a full table, a warning."""

from __future__ import annotations

from quiesce.explain.read.kind import ReportKind, register
from quiesce.explain.read.reader import Handler, ReportReader


def _off(reader: ReportReader, text: str, number: int) -> None:
    reader.facts["validator"] = "turned off"


_PHRASES: dict[str, Handler] = {
    "turning off the locking correctness": _off,
    "the code is fine but needs": _off,
}


register(
    ReportKind(
        "limits",
        titles=(r"MAX_\w{1,40} too low",),
        triggers=(" too low!",),
        phrases=_PHRASES,
        lists_held=False,
    )
)
register(
    ReportKind(
        "lockdep-warn",
        titles=(
            r"bad contention detected",
            r"looking up invalid subclass: \d{1,9}",
            r"key [0-9a-fx]{1,20} (?:has not been registered|not in \.data)",
        ),
        headlines=(
            r"WARNING: (?:CPU: \d+ PID: \d+ )?(?:at )?(?P<text>(?:kernel/)?"
            r"(?:kernel/locking/|kernel/)?lockdep\.c:\d+(?:(?: at)? [\w.+/]{1,200})?)",
        ),
        triggers=(
            "bad contention detected",
            "locking/lockdep.c:",
            "kernel/lockdep.c:",
            "looking up invalid subclass",
            "has not been registered!",
            " not in .data!",
        ),
        phrases=_PHRASES,
        lists_held=False,
        proved_by="+0x",
        contains_others=True,
    )
)
register(
    ReportKind(
        "non-static-key",
        titles=(r"trying to register non-static key",),
        triggers=("non-static key",),
        phrases=_PHRASES,
        lists_held=False,
    )
)
