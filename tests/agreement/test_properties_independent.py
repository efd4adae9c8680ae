# SPDX-License-Identifier: Apache-2.0
"""The verdict on one property does not depend on which others a scenario has.

A false invariant ends nothing, so a property that is taken out changes no other cell: held on the KVM
designs, on the planted bugs, and on generated protocols, by both explorers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from native_generator import build, protocol_sources

from quiesce.compiler.program import compile_scenario
from quiesce.explorer import Bounds, check
from quiesce.explorer.native.options import NativeOptions
from quiesce.explorer.reference.checker import Options
from quiesce.kvm import MemslotUpdates
from quiesce.kvm.gates import GATES
from quiesce.kvm.planted import PLANTED, planted
from quiesce.protocol import Scenario
from quiesce.protocol.scenario import PropertySpec

Cells = dict[str, tuple[str, str]]

ALL = Scenario.properties


MOST = 80_000
"""States of a planted bug's scenario that are compared: larger ones take seconds each."""


class TooLarge(Exception):
    """The space has more states than were asked for."""


def cells(
    scenario: Scenario, without: str = "", explorer: str = "reference", most: int | None = None
) -> Cells:
    """Return the verdict and the finding of each property, with one property taken out of the scenario."""

    def kept(self: Scenario) -> list[PropertySpec]:
        return [p for p in ALL(self) if p.name != without]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scenario, "properties", kept)
        # The check as well: where a data race is found the scenario is compiled again.
        result = check(
            compile_scenario(scenario),
            Options(keep_going=True, bounds=Bounds(max_states=most)),
            NativeOptions(explorer=explorer),
        )
    if "bound" in result.incomplete:
        raise TooLarge
    return {
        p.name: (p.verdict.value, p.finding.kind if p.finding else "") for p in result.properties
    }


def assert_independent(
    build_one: Callable[[], Scenario], explorer: str, most: int | None = None
) -> Cells:
    """Take out each property in turn, and compare what is left."""
    expected = cells(build_one(), "", explorer, most)
    for prop in ALL(started(build_one())):
        left = cells(build_one(), prop.name, explorer, most)
        assert left == {name: cell for name, cell in expected.items() if name != prop.name}
    return expected


@pytest.mark.parametrize("explorer", ["reference", "native"])
@pytest.mark.parametrize("design", GATES)
def test_of_the_designs(design: str, explorer: str) -> None:
    if explorer == "native":
        pytest.importorskip("numba", reason="the native explorer needs numba")

    def one_notifier() -> Scenario:
        return MemslotUpdates(design=design, notifiers=1, rounds=1)

    expected = assert_independent(one_notifier, explorer)
    assert (expected["balanced"][0] == "violation") == (design == "elide_unguarded")


def test_the_stale_translation_is_found_whatever_else_is_asked() -> None:
    """The bug of the series: other invariants, which are false sooner, do not hide it."""
    pytest.importorskip("numba", reason="the native explorer needs numba")
    expected = cells(MemslotUpdates(design="elide_unguarded"), "", "native")
    assert expected["no_stale_translation"] == ("violation", "broken invariant")
    for other in ("balanced", "start_and_end_agree"):
        left = cells(MemslotUpdates(design="elide_unguarded"), other, "native")
        assert left == {name: cell for name, cell in expected.items() if name != other}


@pytest.mark.parametrize("name", PLANTED)
def test_of_planted_bugs(name: str) -> None:
    """Without the property that a bug breaks, all others are as they were."""
    pytest.importorskip("numba", reason="the native explorer needs numba")
    try:
        expected = cells(planted(name), "", "native", MOST)
    except TooLarge:
        pytest.skip(f"more than {MOST:,} states without reductions take too long")
    declared = {p.name for p in ALL(started(planted(name)))}
    broken = [n for n, (verdict, _) in expected.items() if verdict == "violation" and n in declared]
    for prop in broken[:1]:
        left = cells(planted(name), prop, "native", 2 * MOST)
        assert left == {n: cell for n, cell in expected.items() if n != prop}


def started(scenario: Scenario) -> Scenario:
    scenario.start()
    return scenario


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(source=protocol_sources())
def test_of_generated_protocols(source: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    note(source)
    folder: Path = tmp_path_factory.mktemp("generated")
    try:
        assert_independent(lambda: build(source, folder), "reference", 1500)
    except TooLarge:
        assume(False)
