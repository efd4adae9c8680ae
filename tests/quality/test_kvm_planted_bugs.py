# SPDX-License-Identifier: Apache-2.0
"""Every planted bug is found, by the property that is promised; every twin holds."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from quiesce.errors import UsageError
from quiesce.explorer import CheckResult, check
from quiesce.kvm.planted import PLANTED, Planted, planted, twin
from quiesce.verdict import Verdict

TABLE = Path(__file__).parents[2] / "docs" / "planted_bugs.md"


@cache
def without_bug(settings: tuple[tuple[str, str | int | bool], ...]) -> CheckResult:
    """Check a twin; several bugs share one."""
    name = next(n for n in PLANTED if twin_settings(n) == settings)
    return check(twin(name))


def twin_settings(name: str) -> tuple[tuple[str, str | int | bool], ...]:
    return tuple(sorted({**PLANTED[name].settings, **PLANTED[name].twin}.items()))


@pytest.mark.parametrize("name", PLANTED)
def test_the_bug_is_found(name: str) -> None:
    finding = check(planted(name)).finding
    assert finding is not None
    assert finding.kind in PLANTED[name].finds
    assert finding.property in PLANTED[name].caught_by
    assert finding.path


@pytest.mark.parametrize("name", PLANTED)
def test_its_twin_holds(name: str) -> None:
    result = without_bug(twin_settings(name))
    assert result.complete
    assert result.verdict is Verdict.HOLDS


def test_the_table_names_every_bug() -> None:
    text = TABLE.read_text(encoding="utf-8")
    missing = [
        name for name, bug in PLANTED.items() if f"`{name}`" not in text or bug.what not in text
    ]
    assert missing == []


def test_a_bug_that_does_not_exist_is_named() -> None:
    with pytest.raises(UsageError, match="no planted bug `typo`"):
        Planted("typo")
