# SPDX-License-Identifier: Apache-2.0
"""``check(scenario)``: a check as a Python object, with assertions that print the interleaving."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from quiesce.compiler.program import compile_scenario
from quiesce.errors import UsageError
from quiesce.explorer import Bounds, CheckResult, Finding, Options
from quiesce.explorer.engine import check as explore
from quiesce.explorer.expected import as_expected, question, shown_findings, unexpected
from quiesce.explorer.native.options import NativeOptions
from quiesce.explorer.replay import make_token
from quiesce.protocol import Scenario
from quiesce.report.check_sections import check_sections
from quiesce.report.formats.text import text_of
from quiesce.report.fragment import render_fragment
from quiesce.testing.origin import origin_of_object
from quiesce.verdict import Verdict

FAIRNESS = ("strong", "weak", "none")


class Checked:
    """What a check found out.

    :param scenario: what was checked.
    :param result: every verdict, with what was explored.
    """

    # pytest: the frames of the assertions below are not part of a test.
    __tracebackhide__ = True

    def __init__(self, scenario: Scenario, result: CheckResult) -> None:
        self.scenario = scenario
        self.result = result

    @property
    def verdict(self) -> Verdict:
        """HOLDS on the whole space, VIOLATION, or INCOMPLETE."""
        return self.result.verdict

    @property
    def states(self) -> int:
        """How many states were visited."""
        return self.result.states

    @property
    def findings(self) -> list[Finding]:
        """What was found, one finding for each property that is violated: its shortest."""
        return shown_findings(self.result)

    def token(self, finding: Finding) -> str | None:
        """Return the replay token of *finding*; None if no command line can build the scenario."""
        origin = origin_of_object(self.scenario)
        if origin is None:
            return None
        return make_token(origin, self.result.program_of(finding), finding, self.result.fairness)

    def assert_holds(self) -> None:
        """Require that everything that was asked for holds on the whole space.

        :raises AssertionError: with the interleaving, or with what cut the search.
        """
        __tracebackhide__ = True
        if self.verdict is not Verdict.HOLDS:
            raise AssertionError(str(self))

    def assert_violates(self, words: str = "") -> Finding:
        """Require a violation, and return it.

        :param words: a part of the property's name, of the finding's kind or of its message; empty: any.
        :raises AssertionError: there is none; the text says what was found instead.
        """
        __tracebackhide__ = True
        for finding in self.findings:
            texts = (finding.property, str(finding.kind), finding.message)
            if any(words in text for text in texts):
                return finding
        wanted = f"a violation with `{words}`" if words else "a violation"
        raise AssertionError(f"{wanted} was expected, and not found\n{self}")

    def assert_as_expected(self) -> None:
        """Require that everything came out as the scenario's ``expect`` says; without it, that all holds.

        :raises AssertionError: with the interleaving of what was not expected.
        """
        __tracebackhide__ = True
        if self.result.expected is None:
            self.assert_holds()
        elif as_expected(self.result) is not True:
            names = ", ".join(p.name for p in unexpected(self.result)) or "something is not decided"
            raise AssertionError(f"not as expected: {names}\n{self}")

    def __str__(self) -> str:
        return text_of(check_sections(self.result, self._title(), self._again, every=True))

    def __repr__(self) -> str:
        return f"<{self.verdict.name} {self._title()}: {self.states:,} states>"

    def _repr_html_(self) -> str:
        """Return the result for a notebook: the verdict, the properties, each trace."""
        return render_fragment(self.result, self._title())

    def _title(self) -> str:
        positional, named = self.scenario._arguments
        given = [repr(a) for a in positional] + [f"{k}={v!r}" for k, v in named.items()]
        return f"{type(self.scenario).__name__}({', '.join(given)})"

    def _again(self, finding: Finding) -> str | None:
        token = self.token(finding)
        return f'replay("{token}", {self._title()}).assert_fixed()' if token else None


def check(
    scenario: Scenario,
    *,
    only: Iterable[str] = (),
    ignore: Iterable[str] = (),
    fairness: str = "strong",
    keep_going: bool = True,
    fuse: bool = True,
    max_states: int | None = None,
    max_seconds: float | None = None,
    explorer: str = "auto",
) -> Checked:
    """Check *scenario*, a scenario object, and return what was found.

    :param only: the properties that decide; empty: all.
    :param ignore: properties that decide nothing.
    :param fairness: ``strong``, ``weak`` or ``none``: what starvation is judged under.
    :param keep_going: search the whole space although a violation was found, for a verdict on each property.
    :param fuse: let plain accesses ride along with the synchronization after them.
    :param max_states: stop after so many states: the verdict is then INCOMPLETE, unless something was found.
    :param max_seconds: stop after so many seconds.
    :param explorer: ``auto``, ``reference`` or ``native``.
    :raises SourceErrors: the scenario's source is outside the language.
    :raises UsageError: an argument makes no sense.
    """
    if not isinstance(scenario, Scenario):
        kind = scenario.__name__ if isinstance(scenario, type) else type(scenario).__name__
        raise UsageError(f"{kind} is not a scenario object", "check(MyScenario())")
    for name, value, known in (
        ("fairness", fairness, FAIRNESS),
        ("explorer", explorer, ("auto", "reference", "native")),
    ):
        if value not in known:
            raise UsageError(f"{name}={value!r} does not exist", f"one of {', '.join(known)}")
    program = compile_scenario(scenario, fuse=fuse)
    asked = question(scenario, program, (), _names(only), _names(ignore))
    options = Options(
        keep_going or asked.whole_space, fairness, Bounds(max_states, max_seconds=max_seconds)
    )
    native = replace(NativeOptions(), explorer=explorer)
    return Checked(scenario, asked.judge(explore(program, options, native)))


def _names(given: Iterable[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)
