# SPDX-License-Identifier: Apache-2.0
"""``replay(token, scenario)``: a counterexample that is kept as a test."""

from __future__ import annotations

from dataclasses import dataclass

from quiesce.compiler.program import Program, compile_scenario
from quiesce.explorer import Bounds, Finding, Options
from quiesce.explorer.prove_again import Proof, prove_again
from quiesce.explorer.reference.trace import follow
from quiesce.explorer.replay import read_token
from quiesce.explorer.walk import Walk, walk
from quiesce.properties import FindingKind
from quiesce.protocol import Scenario
from quiesce.report.check_sections import render_finding
from quiesce.report.interleaving import render_interleaving

REPLAY_STATES = 2_000_000
"""States that are explored to decide what can never happen any more."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A run that was led along the steps of a token, and whether its property still fails there.

    :param property: the property that the token is about.
    """

    program: Program
    property: str
    run: Walk
    proof: Proof

    def assert_fixed(self) -> None:
        """Require that the property no longer fails on this run. Of other runs, that says nothing.

        :raises AssertionError: it fails again, or that is not decided; with the interleaving.
        """
        __tracebackhide__ = True
        if self.proof.finding is not None:
            text = render_finding(self.program, self.proof.finding)
            raise AssertionError(f"{self.property} fails again\n\n{text}")
        if not self.proof.decided:
            raise AssertionError(f"{self.property} is not decided: {self.proof.why}")

    def assert_violates(self) -> Finding:
        """Require that the property still fails on this run; return the finding.

        :raises AssertionError: it does not; the text says why, with the run as far as it is possible.
        """
        __tracebackhide__ = True
        if self.proof.finding is not None:
            return self.proof.finding
        walked = follow(self.program, Finding(FindingKind.NOTHING, "", "", tuple(self.run.path)))
        why = self.run.blocked or self.proof.why
        raise AssertionError(
            f"{self.property} no longer fails on this run: {why}\n\n{render_interleaving(walked)}"
        )


def replay(token: str, scenario: Scenario, max_states: int = REPLAY_STATES) -> Replayed:
    """Lead *scenario* along the run of *token* and decide whether the property still fails there.

    No file is executed: the token says which steps to take and which property to look at, and the scenario
    is the one that is given. If a step is no longer possible, the run ends before it, and what can follow
    is searched a little.

    :param token: a word that begins with ``q1-``, as a check prints it.
    :param max_states: how many states are explored to decide what can never happen any more.
    :raises UsageError: it is not a complete token, or its run begins in a state that is not there.
    """
    read = read_token(token)
    program = compile_scenario(scenario, fuse=read.fuse)
    run = walk(program, read.initial, read.moves)
    options = Options(True, read.fairness, Bounds(max_states))
    return Replayed(program, read.property, run, prove_again(program, run, read, options))
