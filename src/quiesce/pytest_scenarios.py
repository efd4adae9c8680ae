# SPDX-License-Identifier: Apache-2.0
"""Scenarios as tests: pytest collects what is named ``test_*`` or ``Test*``, and checks it.

``test_three = Dining(n=3)`` at the top of a test file is a test, and so is ``class TestDining(Scenario)``.
Each must hold, or come out as its ``expect`` says. A failure is the interleaving.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from quiesce.protocol import Scenario


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options for scenarios that are tests."""
    group = parser.getgroup("quiesce", "scenarios as tests")
    group.addoption(
        "--quiesce-max-states", type=int, metavar="N", help="stop a check after N states"
    )
    group.addoption(
        "--quiesce-max-seconds", type=float, metavar="S", help="stop a check after S seconds"
    )
    group.addoption(
        "--quiesce-fairness",
        choices=("strong", "weak", "none"),
        default="strong",
        help="what starvation is judged under (strong)",
    )
    group.addoption(
        "--quiesce-explorer",
        choices=("auto", "reference", "native"),
        default="auto",
        help="which explorer checks (auto)",
    )
    group.addoption(
        "--quiesce-skip-undecided",
        action="store_true",
        help="skip a scenario that a bound left undecided, which fails otherwise",
    )


def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: object
) -> pytest.Item | list[pytest.Item] | None:
    """Make a test of a scenario object or class whose name says that it is one."""
    if "quiesce.protocol" not in sys.modules or not isinstance(collector, pytest.Module):
        return None
    from quiesce.protocol import Scenario

    is_class = isinstance(obj, type) and issubclass(obj, Scenario)
    if not is_class and not isinstance(obj, Scenario):
        return None
    if not name.startswith(("test_", "Test")):
        return None
    item: pytest.Item = ScenarioItem.from_parent(collector, name=name, scenario=obj)
    return [item]


class ScenarioItem(pytest.Item):
    """A test that checks a scenario.

    :param scenario: a scenario object, or a class whose constructor needs no arguments.
    """

    def __init__(self, *, scenario: Scenario | type[Scenario], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scenario = scenario

    def runtest(self) -> None:
        """Check the scenario; a violation that is not expected fails the test."""
        from quiesce.explorer.expected import as_expected, undecided
        from quiesce.testing.checked import check
        from quiesce.verdict import Verdict

        scenario = self.scenario() if isinstance(self.scenario, type) else self.scenario
        option = self.config.getoption
        checked = check(
            scenario,
            fairness=option("--quiesce-fairness"),
            max_states=option("--quiesce-max-states"),
            max_seconds=option("--quiesce-max-seconds"),
            explorer=option("--quiesce-explorer"),
        )
        result = checked.result
        if result.expected is None:
            left_open = checked.verdict is Verdict.INCOMPLETE
        else:
            left_open = as_expected(result) is None and bool(undecided(result))
        if left_open and option("--quiesce-skip-undecided"):
            pytest.skip(f"not decided: {result.incomplete}")
        checked.assert_as_expected()

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any, **kwargs: Any
    ) -> Any:
        """Return the interleaving, or what is wrong with the source; no traceback of ours."""
        from quiesce.errors import QuiesceError

        if isinstance(excinfo.value, AssertionError | QuiesceError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, *args, **kwargs)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Return the file, the line of the class, and the name of the test."""
        klass = self.scenario if isinstance(self.scenario, type) else type(self.scenario)
        return self.path, _first_line(klass, str(self.path)), self.name


def _first_line(klass: type, file: str) -> int | None:
    """Return the 0-based line of the first method of *klass* that is in *file*; None if none is."""
    codes: Iterable[Any] = (getattr(value, "__code__", None) for value in vars(klass).values())
    lines = [c.co_firstlineno - 1 for c in codes if c is not None and c.co_filename == file]
    return min(lines, default=None)
