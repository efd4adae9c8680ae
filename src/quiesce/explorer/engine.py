# SPDX-License-Identifier: Apache-2.0
"""Which explorer answers: the plain-Python one at once, the native one when the space is large.

The native one needs numpy and numba, which are imported when the first search is large enough, and not
before. Without them the plain-Python one answers everything.
"""

from __future__ import annotations

import importlib.util
import time
from dataclasses import replace

from quiesce.compiler.program import Program, compile_scenario
from quiesce.errors import UsageError
from quiesce.explorer.findings import CheckResult
from quiesce.explorer.native.kernels.jit import NativeUnavailable
from quiesce.explorer.native.options import NativeOptions
from quiesce.explorer.native.program.pack_state import NotPackable
from quiesce.explorer.reference.checker import Options, check_reference
from quiesce.explorer.without_fusion import decided_without_fusion
from quiesce.protocol import Scenario
from quiesce.stopping import Stopped, immediately, noted, time_limit

NEEDED = ("numpy", "numba")
"""The packages that the native explorer needs."""

HOW_TO_GET_IT = "install it with `pip install 'quiesce[native]'`, or `pip install numba`"


def check(
    scenario: Scenario | Program,
    options: Options | None = None,
    native: NativeOptions | None = None,
) -> CheckResult:
    """Check a scenario and return what was found.

    Ctrl-C and the end of the time that ``options.bounds`` give end it early, whatever it is doing; the
    result then says so, with what was found.

    :param scenario: a scenario object, or one that is compiled already.
    :param native: which explorer answers, and how the native one works.
    :raises SourceErrors: the scenario's source is outside the language.
    :raises UsageError: the native explorer is asked for and cannot be had.
    """
    program = scenario if isinstance(scenario, Program) else compile_scenario(scenario)
    options = options if options is not None else Options()
    native = native or NativeOptions()
    # The checkpoint is of the first search.
    again = replace(native, checkpoint="")
    with noted(), time_limit(options.bounds.deadline, options.bounds.time_text):
        result = _check(program, options, native)
        return decided_without_fusion(result, lambda unfused: _check(unfused, options, again))


def _check(program: Program, options: Options, native: NativeOptions) -> CheckResult:
    if native.explorer == "reference":
        return check_reference(program, options)
    wanted = native.explorer == "native" or bool(native.checkpoint)
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if lacking and not wanted:
        return _slowly(program, options, f"{' and '.join(lacking)} cannot be imported", native)
    looked, started = None, time.monotonic()
    if not wanted:
        looked = _first_look(program, options, native.small)
        if not _goes_on(looked, options, native.small):
            return looked
    try:
        with immediately():
            return _check_natively(program, options, native)
    except Stopped as stopped:
        if looked is not None:
            return replace(looked, incomplete=str(stopped), seconds=time.monotonic() - started)
        # It ends where it begins, for the same reason.
        return check_reference(program, options)
    except NativeUnavailable as why:
        if wanted:
            raise UsageError(f"the native explorer cannot be used: {why}", HOW_TO_GET_IT) from why
        return _slowly(program, options, str(why), native)
    except NotPackable as why:
        if wanted:
            raise UsageError(
                f"the native explorer cannot be used: {why}",
                "leave --explorer and --checkpoint out",
            ) from why
        return _slowly(program, options, str(why), native)


def _check_natively(program: Program, options: Options, native: NativeOptions) -> CheckResult:
    """Check with the native explorer, which is imported here.

    :raises NativeUnavailable: what it needs is not there, or does not work.
    """
    try:
        from quiesce.explorer.native.check import check_native
    except ImportError as error:
        if (error.name or "").partition(".")[0] in NEEDED:
            raise NativeUnavailable(f"{error.name} cannot be imported: {error}") from error
        raise
    return check_native(program, options, native)


def _slowly(program: Program, options: Options, why: str, native: NativeOptions) -> CheckResult:
    """Check with the reference explorer, and say why if that was slow."""
    result = check_reference(program, options)
    if result.states > native.small:
        result.notes.append(f"explored by plain Python, which is slow: {why}")
    return result


def _first_look(program: Program, options: Options, small: int) -> CheckResult:
    """Return the reference explorer's answer, which may end at the bound of *small* states."""
    bounds = options.bounds
    if bounds.max_states is not None and bounds.max_states <= small:
        return check_reference(program, options)
    bounds = replace(bounds, max_states=small)
    return check_reference(program, replace(options, bounds=bounds, progress=None))


def _goes_on(looked: CheckResult, options: Options, small: int) -> bool:
    """Tell whether the first look ended at our own bound, and not at one that *options* give."""
    bound = options.bounds.max_states
    by_ours = looked.incomplete.startswith(f"the bound of {small:,} states")
    return by_ours and (bound is None or bound > small)
