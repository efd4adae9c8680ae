# SPDX-License-Identifier: Apache-2.0
"""Which explorer answers: the plain-Python one at once, the native one when the space is large."""

from __future__ import annotations

from dataclasses import replace

from quiesce.compiler.program import Program, compile_scenario
from quiesce.explorer.checker import Options, check_reference
from quiesce.explorer.findings import CheckResult
from quiesce.protocol import Scenario


def check(scenario: Scenario | Program, options: Options | None = None) -> CheckResult:
    """Check a scenario and return what was found.

    :param scenario: a scenario object, or one that is compiled already.
    :raises SourceErrors: the scenario's source is outside the language.
    """
    program = scenario if isinstance(scenario, Program) else compile_scenario(scenario)
    return check_reference(program, replace(options) if options is not None else Options())
