# SPDX-License-Identifier: Apache-2.0
"""Which explorer answers: the plain-Python one at once, the native one when the space is large.

The native one needs numpy and numba, which are imported when the first search is large enough, and not
before. Without them the plain-Python one answers everything. While its kernels are not compiled yet,
another process compiles them, and the plain-Python one goes on.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import replace

from quiesce.compiler.program import Program, compile_scenario
from quiesce.errors import UsageError
from quiesce.explorer.findings import CheckResult
from quiesce.explorer.native.kernels.jit import NativeUnavailable
from quiesce.explorer.native.options import NativeOptions
from quiesce.explorer.native.program.pack_state import NotPackable
from quiesce.explorer.native.ready import background_compiler, kernels_are_ready
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
    whole = 0
    if not wanted:
        bound = options.bounds.max_states
        if bound is not None and bound <= native.small:
            return check_reference(program, options)
        try:
            return _first_look(program, options, native)
        except _HandedOver:
            whole = native.small
    try:
        with immediately():
            return _check_natively(program, options, native, whole)
    except Stopped:
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


def _check_natively(
    program: Program, options: Options, native: NativeOptions, whole: int
) -> CheckResult:
    """Check with the native explorer, which is imported here.

    :param whole: up to how many states nothing is reduced.
    :raises NativeUnavailable: what it needs is not there, or does not work.
    """
    return _load_kernels()(program, options, native, whole)


def _load_kernels() -> Callable[[Program, Options, NativeOptions, int], CheckResult]:
    """Import the native explorer, numba with it, and return its check."""
    try:
        from quiesce.explorer.native.check import check_native
    except ImportError as error:
        if (error.name or "").partition(".")[0] in NEEDED:
            raise NativeUnavailable(f"{error.name} cannot be imported: {error}") from error
        raise
    return check_native


def _slowly(program: Program, options: Options, why: str, native: NativeOptions) -> CheckResult:
    """Check with the reference explorer, and say why if that was slow."""
    result = check_reference(program, options)
    if result.states > native.small:
        result.notes.append(f"explored by plain Python, which is slow: {why}")
    return result


_WAIT = 0.02
"""Seconds between two looks at whether the kernels are compiled."""


class _HandedOver(Exception):
    """The native explorer takes over from the reference explorer."""


def _first_look(program: Program, options: Options, native: NativeOptions) -> CheckResult:
    """Return the reference explorer's answer.

    It is asked for ``native.first`` states. Then the native explorer takes over, once its kernels are
    compiled, or at ``native.small`` states. Nothing is decided twice: the search just ends.

    :raises _HandedOver: the native explorer takes over.
    """

    def look(states: int) -> None:
        if states <= min(native.first, native.small):
            return
        if kernels_are_ready():
            raise _HandedOver
        compiler = background_compiler()
        if states > native.small:
            while compiler.works and not options.bounds.ends_now():
                time.sleep(_WAIT)
            if not options.bounds.ends_now():
                raise _HandedOver

    bounds = replace(options.bounds, look=look)
    return check_reference(program, replace(options, bounds=bounds))
