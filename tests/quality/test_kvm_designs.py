# SPDX-License-Identifier: Apache-2.0
"""The five designs come out as the design document says, and larger scenarios with them."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from quiesce.errors import UsageError
from quiesce.explorer import Bounds, CheckResult, Options, check
from quiesce.kvm import GATES, MemslotUpdates
from quiesce.properties import SOMETIMES
from quiesce.verdict import Verdict

SAFETY = (
    "no_deadlock",
    "no_stuck_thread",
    "no_data_race",
    "assertions",
    "ranges",
    "balanced",
    "start_and_end_agree",
    "no_stale_translation",
    "no_translation_without_memslot",
)


@cache
def result_of(design: str) -> CheckResult:
    return check(MemslotUpdates(design))


def checked(**parameters: Any) -> CheckResult:
    result = check(MemslotUpdates(**parameters), Options(bounds=Bounds(max_states=200_000)))
    assert result.verdict is not Verdict.INCOMPLETE
    return result


def test_there_are_five_designs() -> None:
    assert list(GATES) == ["always_lock", "elide_unguarded", "rwsem", "count", "phased"]


@pytest.mark.parametrize("design", ["always_lock", "phased"])
def test_a_good_design_holds(design: str) -> None:
    result = result_of(design)
    assert result.complete
    assert result.verdict is Verdict.HOLDS


def test_count_is_safe_but_an_update_can_starve() -> None:
    result = result_of("count")
    assert result.complete
    assert {name: result.property(name).verdict for name in SAFETY} == dict.fromkeys(
        SAFETY, Verdict.HOLDS
    )
    assert [f.kind for f in result.of_kind("starvation") if f.property == "updates_finish"]


def test_the_rwsem_deadlocks() -> None:
    (finding,) = result_of("rwsem").of_kind("deadlock")
    assert "notifier/0, notifier/1 and updater/0" in finding.message


def test_eliding_unguarded_unbalances_the_count() -> None:
    broken = {f.property for f in result_of("elide_unguarded").of_kind("broken invariant")}
    assert broken == {"balanced", "start_and_end_agree"}


@pytest.mark.parametrize("design", ["always_lock", "count", "phased"])
def test_faults_can_be_retried_for_ever_in_every_design(design: str) -> None:
    faults = result_of(design).property("faults_finish")
    assert faults.informational
    assert faults.verdict is Verdict.VIOLATION


@pytest.mark.parametrize("design", ["always_lock", "count", "phased"])
def test_the_scenario_is_not_vacuous(design: str) -> None:
    sometimes = [p for p in result_of(design).properties if p.kind is SOMETIMES]
    assert len(sometimes) >= 2
    assert all(p.verdict is Verdict.HOLDS for p in sometimes)


LARGER: list[dict[str, Any]] = [
    {"updaters": 2},
    {"vcpus": 2},
    {"pages": 2},
    {"spaces": 2},
    {"unrelated": "copy_on_write"},
    {"operations": "migrate,protect_hugetlb,remap,reap", "other_may_fail": True},
    {"changes": "delete,move"},
    {"changes": "delete,flags"},
    {"changes": "flags,move", "rounds": 1},
    {"mmio": True, "changes": "delete,move"},
    {"shadow_roots": True, "vcpus": 2},
]


@pytest.mark.parametrize("parameters", LARGER, ids=str)
def test_phased_holds_in_other_scenarios(parameters: dict[str, Any]) -> None:
    assert checked(design="phased", notifiers=1, **parameters).verdict is Verdict.HOLDS


@pytest.mark.parametrize("design", ["always_lock", "count"])
@pytest.mark.parametrize("parameters", LARGER, ids=str)
def test_the_other_safe_designs_are_safe_there(design: str, parameters: dict[str, Any]) -> None:
    settings = {"notifiers": 1, "rounds": 1, **parameters}
    assert checked(design=design, **settings).verdict is Verdict.HOLDS


def test_the_rwsem_is_safe_without_nesting_and_crossing() -> None:
    assert checked(design="rwsem", operations="copy_on_write").verdict is Verdict.HOLDS


def test_the_rwsem_deadlocks_when_invalidations_cross() -> None:
    result = checked(design="rwsem", operations="migrate,protect_hugetlb")
    assert result.finding is not None
    assert result.finding.kind == "deadlock"


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"design": "best"}, "best"),
        ({"operations": "copy_on_write,fly"}, "fly"),
        ({"changes": "grow"}, "grow"),
        ({"operations": "", "unrelated": ""}, "operations"),
        ({"changes": ""}, "changes"),
        ({"notifiers": -1}, "notifiers"),
        ({"pages": 0}, "pages"),
        ({"spaces": 3}, "spaces"),
    ],
)
def test_wrong_parameters_are_named(parameters: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        MemslotUpdates(**parameters)
