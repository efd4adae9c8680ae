# SPDX-License-Identifier: Apache-2.0
"""Whether the cycle of a report can hang, proved: the seam to the explorer.

:func:`prove` gets a read report and answers in the four words of the JSON output. What it needs is in
:class:`quiesce.splat.cycle.Cycle`: one thread per path ("take *holds*, then take *wants*"), the modes
of both, and what stands behind each name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from quiesce.errors import UsageError
from quiesce.splat.cycle import build_cycle
from quiesce.splat.model import Report


@dataclass(frozen=True)
class ProofResult:
    """What was proved.

    :param verdict: ``confirmed`` (these tasks hang), ``refuted`` (no interleaving hangs),
        ``not_modelled`` or ``incomplete`` (the chain is cut).
    :param reason: in a sentence.
    :param steps: of the shortest hang, 0 without one.
    """

    verdict: str
    reason: str
    steps: int = 0


def prove(report: Report) -> ProofResult:
    """Return whether *report*'s cycle can hang."""
    if report.kind not in ("circular", "recursive"):
        return ProofResult("not_modelled", "only circular and recursive reports have a model")
    if build_cycle(report) is None:
        return ProofResult("incomplete", "the dependency chain is not whole")
    return ProofResult("not_modelled", "the model of a report is not built yet")


def write_model(report: Report, path: Path) -> None:
    """Write the scenario of *report* to *path*, for the user to edit and to check again.

    :raises UsageError: while reports have no model.
    """
    raise UsageError(
        f"no model of this report can be written to {path}: {prove(report).reason}",
        "leave --model out",
    )
