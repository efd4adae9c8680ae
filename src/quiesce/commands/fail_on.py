# SPDX-License-Identifier: Apache-2.0
"""``quiesce explain --fail-on``: the words, apart from the command, which is slow to import."""

from __future__ import annotations

from quiesce.explain.judge.answer import Judgement

FAIL_ON: dict[str, frozenset[Judgement]] = {
    "hangs": frozenset({Judgement.HANGS, Judgement.HANGS_IF, Judgement.HUNG}),
    "undecided": frozenset({Judgement.UNDECIDED}),
    "misuse": frozenset({Judgement.MISUSE}),
    "any": frozenset(Judgement),
}
"""What ``--fail-on`` can name, and the verdicts that it means."""
