# SPDX-License-Identifier: Apache-2.0
"""One file for each family of kinds: how its reports are explained."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from quiesce.explain.judge.cycle import Cycle
from quiesce.explain.judge.kind import Judge, registered
from quiesce.explain.read.model import PrintedReport


@cache
def _load() -> None:
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")


def judge_of(report: PrintedReport) -> Judge:
    """Return what explains *report*'s kind."""
    _load()
    return registered(report.kind)


def cycle_of(report: PrintedReport) -> Cycle | None:
    """Return the cycle of *report*, None if its chain is cut or its kind has none."""
    return judge_of(report).cycle(report)
