# SPDX-License-Identifier: Apache-2.0
"""Every planted bug is found, by the kind of finding that is promised; every twin holds."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from quiesce.explorer import CheckResult, check
from quiesce.kvm import MemslotUpdates
from quiesce.kvm.bugs import BUGS
from quiesce.kvm.scenarios import planted
from quiesce.verdict import Verdict

TABLE = Path(__file__).parent.parent / "docs" / "planted_bugs.md"


@cache
def without_bug(settings: tuple[tuple[str, str | int | bool], ...]) -> CheckResult:
    """Check a twin; several bugs share one."""
    return check(MemslotUpdates(**dict(settings)))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", BUGS)
def test_the_bug_is_found(name: str) -> None:
    finding = check(planted(name)).finding
    assert finding is not None
    assert finding.kind in BUGS[name].finds
    assert finding.path


@pytest.mark.parametrize("name", BUGS)
def test_its_twin_holds(name: str) -> None:
    settings = {**BUGS[name].settings, **BUGS[name].twin}
    result = without_bug(tuple(sorted(settings.items())))
    assert result.complete
    assert result.verdict is Verdict.HOLDS


def test_the_table_names_every_bug() -> None:
    text = TABLE.read_text(encoding="utf-8")
    missing = [
        name for name, bug in BUGS.items() if f"`{name}`" not in text or bug.what not in text
    ]
    assert missing == []
