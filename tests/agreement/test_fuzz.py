# SPDX-License-Identifier: Apache-2.0
"""A minute of ``make fuzz``: random protocols, quiesce against the oracle."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz import compare
from fuzz.campaign import Campaign
from fuzz.draw import protocol
from fuzz.shrink import shrink
from oracle import judge

pytest.importorskip("numba", reason="the native explorer needs numba")

FIRST, PROTOCOLS = 5000, 100
"""As many as take about a minute."""

KINDS = {
    "deadlock", "stuck thread", "lost wakeup", "livelock", "starvation", "data race", "failed assert",
    "out of range", "broken invariant", "vacuous", "never executed", "not decided",
}  # fmt: skip
"""What never comes out is not compared."""


def test_quiesce_and_the_oracle_agree(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    campaign.run(FIRST, float("inf"), PROTOCOLS)
    assert campaign.disagreements == [], campaign.summary()
    assert campaign.found.keys() >= KINDS


def test_a_disagreement_is_seen_and_made_small(tmp_path: Path) -> None:
    """The oracle is asked about one protocol and quiesce about another, so that they differ."""
    text = protocol(4)
    wrong = judge(text)
    wrong.verdicts["no_data_race"] = type(wrong.verdicts["no_data_race"])("violation")
    lines = compare.disagreements(text, wrong, compare.REFERENCE[:1], tmp_path)
    assert lines and all("no_data_race" in line for line in lines)
    small = shrink(text, lambda t: "def u(self)" in t and "Scenario" in t)
    assert len(small) < 150 < len(text)
