# SPDX-License-Identifier: Apache-2.0
"""A minute of ``make fuzz``: random protocols, quiesce against the oracle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
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
    smaller = list(shrink(text, lambda t: "def u(self)" in t and "Scenario" in t))
    assert len(smaller[-1]) < 150 < len(text)
    assert not list(shrink(text, lambda t: True, deadline=time.monotonic()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_campaign_that_is_stopped_says_what_it_compared(number: signal.Signals) -> None:
    """The first protocols of it disagree, and are shrunk for as long as it runs."""
    wrong = (
        "import sys, fuzz.compare as c, fuzz.__main__ as m\n"
        "c.differences = lambda j, r: [print('asked', flush=True) or 'no_data_race: wrong']\n"
        "sys.argv = ['fuzz', '--seconds', '600', '--seed', '4']\n"
        "sys.exit(m.main())\n"
    )
    path = os.pathsep.join(p for p in sys.path if p)
    with subprocess.Popen(
        [sys.executable, "-c", wrong], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        # Twice for the protocol as it was drawn, then for smaller ones.
        assert [process.stdout.readline() for _ in range(4)] == ["asked\n"] * 4
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "1 protocols, 1 disagreements" in out and "compared:" in out
    assert "# protocol 4" in out


def test_shrinking_ends_with_the_campaign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compare, "differences", lambda *_: ["no_data_race: wrong"])
    campaign = Campaign(tmp_path)
    begun = time.monotonic()
    campaign.run(FIRST, 2.0)
    assert time.monotonic() - begun < 30
    assert campaign.disagreements and "# protocol" in capsys.readouterr().out
