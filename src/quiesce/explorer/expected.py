# SPDX-License-Identifier: Apache-2.0
"""What a check is expected to find, which properties it is about, and whether it came out so.

A model of a bug is right when the bug is found in it. A scenario says so in its attribute ``expect``,
``{"no_starvation": "violated"}``, and the command line by ``--expect``. Every property that is not named
is expected to hold.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from quiesce.compiler.program import Program
from quiesce.errors import UsageError
from quiesce.explorer.findings import CheckResult, Finding, PropertyResult, rank
from quiesce.explorer.reference.checker import cut_only_by_failures
from quiesce.properties import BUILT_IN
from quiesce.protocol import Scenario
from quiesce.verdict import EXIT_UNEXPECTED, Verdict

OUTCOMES = {"holds": Verdict.HOLDS, "violated": Verdict.VIOLATION}
"""The words for what can be expected of a property."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about the properties of a program.

    :param expect: for each property that is named, what must come out.
    :param ignored: the properties that are shown and decide nothing.
    :param stated: an expectation was given, if only an empty one.
    """

    expect: Mapping[str, Verdict] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    stated: bool = False

    @property
    def whole_space(self) -> bool:
        """True if the search must continue after a violation: it may not be the one that counts."""
        return self.stated or bool(self.ignored)

    def judge(self, result: CheckResult) -> CheckResult:
        """Return *result* with the ignored properties marked, and with what was expected of the others."""
        properties = [
            replace(p, informational=p.informational or p.name in self.ignored)
            for p in result.properties
        ]
        expected = None
        if self.stated:
            expected = {
                p.name: self.expect.get(p.name, Verdict.HOLDS)
                for p in properties
                if p.name in self.expect or not p.informational
            }
        return replace(result, properties=properties, expected=expected)


def question(
    scenario: Scenario,
    program: Program,
    expect: Sequence[str] = (),
    only: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> Question:
    """Return what *scenario* and the command line ask about the properties of *program*.

    :param expect: ``name=holds`` or ``name=violated``; the last word on a property counts, and the command
        line's goes before the scenario's.
    :param only: if not empty, the properties that decide; all others are ignored.
    :param ignore: properties that are shown and decide nothing.
    :raises UsageError: a property or an outcome does not exist, or one is both expected and ignored.
    """
    names = [*(kind.name for kind in BUILT_IN), *(p.name for p in program.properties)]
    declared = _declared(scenario)
    wanted = dict(declared or {})
    for text in expect:
        name, equals, outcome = text.rpartition("=")
        if not equals:
            raise UsageError(
                f"--expect {text}: there is no `=`", f"--expect {text}=violated, or =holds"
            )
        wanted[name] = outcome
    for name in (*wanted, *only, *ignore):
        if name not in names:
            raise UsageError(
                f"{type(scenario).__name__} has no property `{name}`",
                f"its properties: {', '.join(names)}",
            )
    for name, outcome in wanted.items():
        if outcome not in OUTCOMES:
            raise UsageError(
                f"`{outcome}` cannot be expected of {name}",
                f"what can be expected: {' or '.join(OUTCOMES)}",
            )
    left_out = set(ignore) | ({n for n in names if n not in only} if only else set())
    for name in expect:
        named = name.rpartition("=")[0]
        if named in left_out:
            raise UsageError(
                f"--expect {name}: the property is ignored", "leave out --expect, or --ignore"
            )
    outcomes = {n: OUTCOMES[o] for n, o in wanted.items() if n not in left_out}
    return Question(outcomes, frozenset(left_out), declared is not None or bool(expect))


def _declared(scenario: Scenario) -> Mapping[str, str] | None:
    """Return the attribute ``expect`` of *scenario*; None if it has none, or a variable of that name.

    :raises UsageError: it is not a dictionary of strings.
    """
    if "expect" in scenario.declarations():
        return None
    found = getattr(scenario, "expect", None)
    if found is None or callable(found) or isinstance(found, int | Scenario):
        return None
    fits = isinstance(found, Mapping) and all(
        isinstance(k, str) and isinstance(v, str) for k, v in found.items()
    )
    if not fits:
        raise UsageError(
            f"{type(scenario).__name__}.expect is {type(found).__name__} {found!r}"[:300],
            'a dictionary: expect = {"no_starvation": "violated"}',
        )
    return found  # type: ignore[no-any-return]


def unexpected(result: CheckResult) -> list[PropertyResult]:
    """Return the properties that came out otherwise than expected, decided ones only."""
    expected = result.expected or {}
    return [
        p
        for p in result.properties
        if p.name in expected and p.verdict not in (expected[p.name], Verdict.INCOMPLETE)
    ]


def undecided(result: CheckResult) -> list[PropertyResult]:
    """Return the properties of which something is expected and nothing is known.

    A failed step ends its runs, so that other properties are not decided. Where the failure itself is
    expected, that is part of what was expected.
    """
    expected = result.expected or {}
    still_open = [
        p for p in result.properties if p.name in expected and p.verdict is Verdict.INCOMPLETE
    ]
    if cut_only_by_failures(result.incomplete) and not _surprising(
        result, [kind.name for kind in BUILT_IN if kind.failures]
    ):
        still_open = [p for p in still_open if expected[p.name] is Verdict.VIOLATION]
    return still_open


def _surprising(result: CheckResult, names: Collection[str]) -> bool:
    """Return True if one of the properties *names* is violated, and that was not expected."""
    expected = result.expected or {}
    return any(
        p.name in names
        and p.verdict is Verdict.VIOLATION
        and expected.get(p.name) is not Verdict.VIOLATION
        for p in result.properties
    )


def shown_findings(result: CheckResult) -> list[Finding]:
    """Return the findings that decide: first what was not expected, then the easiest to believe."""
    surprising = {p.name for p in unexpected(result)}
    found = [p.finding for p in result.properties if p.finding and not p.informational]
    return sorted(found, key=lambda f: (f.property not in surprising, *rank(f)))


def as_expected(result: CheckResult) -> bool | None:
    """Return whether everything came out as expected; None if nothing was, or if it is not decided."""
    if result.expected is None:
        return None
    if unexpected(result):
        return False
    return None if undecided(result) else True


def exit_code(result: CheckResult) -> int:
    """Return the exit code: of the verdict, or 0, 1 or 3 for what was expected (yes, no, not decided)."""
    if result.expected is None:
        return result.verdict.exit_code
    came_out = as_expected(result)
    if came_out is None:
        return Verdict.INCOMPLETE.exit_code
    return 0 if came_out else EXIT_UNEXPECTED
