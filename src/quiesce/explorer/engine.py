# SPDX-License-Identifier: Apache-2.0
"""Which explorer answers: the plain-Python one at once, the native one when the space is large."""

from __future__ import annotations

from dataclasses import replace

from quiesce.compiler.pack_state import NotPackable
from quiesce.compiler.program import Program, compile_scenario
from quiesce.errors import UsageError
from quiesce.explorer.checker import Options, check_reference
from quiesce.explorer.findings import CheckResult
from quiesce.explorer.graph import Bounds
from quiesce.explorer.native.jit import NativeUnavailable
from quiesce.explorer.native.options import NativeOptions
from quiesce.protocol import Scenario


def check(
    scenario: Scenario | Program,
    options: Options | None = None,
    native: NativeOptions | None = None,
) -> CheckResult:
    """Check a scenario and return what was found.

    :param scenario: a scenario object, or one that is compiled already.
    :param native: which explorer answers, and how the native one works.
    :raises SourceErrors: the scenario's source is outside the language.
    :raises UsageError: the native explorer is asked for and cannot be had.
    """
    program = scenario if isinstance(scenario, Program) else compile_scenario(scenario)
    options = replace(options) if options is not None else Options()
    native = native or NativeOptions()
    if native.explorer == "reference":
        return check_reference(program, options)
    if native.explorer == "auto" and not native.checkpoint:
        first = _first_look(program, options, native.small)
        if first is not None:
            return first
    try:
        from quiesce.explorer.native.check import check_native

        return check_native(program, options, native)
    except (NativeUnavailable, NotPackable) as why:
        if native.explorer == "native" or native.checkpoint:
            raise UsageError(
                f"the native explorer cannot be used: {why}",
                "install it with `pip install 'quiesce[native]'`",
            ) from why
        result = check_reference(program, options)
        result.notes.append(f"explored by plain Python, which is slow: {why}")
        return result


def _first_look(program: Program, options: Options, small: int) -> CheckResult | None:
    """Return the reference explorer's answer if it has one within *small* states."""
    bounds = options.bounds
    if bounds.max_states is not None and bounds.max_states <= small:
        return check_reference(program, options)
    looked = replace(options, bounds=Bounds(small, bounds.max_memory), progress=None)
    result = check_reference(program, looked)
    by_our_bound = result.incomplete.startswith(f"the bound of {small:,} states")
    return None if by_our_bound else result
