# SPDX-License-Identifier: Apache-2.0
"""``quiesce kvm run``: a design on real threads, as its source says or at native speed."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from quiesce.commands.formats import add_format_option, outputs_of
from quiesce.commands.options import any_number, seconds
from quiesce.errors import UsageError
from quiesce.verdict import Verdict

if TYPE_CHECKING:
    from quiesce.kvm.real.native_gates import NativeResult, Threads
    from quiesce.kvm.real.trace_check import TraceResult
    from quiesce.kvm.real.trace_events import Trace

MOST_THREADS = 256

NOT_A_RUN = "not-a-run-of-the-design"
"""The rule that is broken if the threads did what the design does not allow."""


def add_run(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``run`` to the actions of ``quiesce kvm``."""
    run = actions.add_parser(
        "run",
        help="run a design on real threads, and check what it did",
        description="Run a design on real threads: the model's own source, watched, or with --native its "
        "twin at native speed. How long updates take and how many invalidations pass is measured, the "
        "invariants are looked at, and what the threads did is checked to be a run of the design.",
        epilog="exit codes: 0 nothing wrong was seen, which proves nothing; 1 something was; 2 the request "
        "is wrong, or numba is missing for --native; 3 not decided",
    )
    run.add_argument("--design", required=True, metavar="NAME")
    run.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="of the scenario"
    )
    run.add_argument("--seconds", type=seconds, default=5.0, metavar="S", help="for how long (5)")
    run.add_argument("--seed", type=any_number, default=0, metavar="N", help="of the choices (0)")
    run.add_argument("--trace", metavar="FILE", help="also write what the threads did")
    run.add_argument(
        "--follow", metavar="FILE",
        help="let the threads follow a counterexample: JSON of `quiesce kvm check`, with the same --set",
    )  # fmt: skip
    run.add_argument("--native", action="store_true", help="run the native twin of the design")
    native = run.add_argument_group("with --native")
    native.add_argument("--notifiers", type=any_number, default=3, metavar="N", help="(3)")
    native.add_argument("--updaters", type=any_number, default=1, metavar="N", help="(1)")
    native.add_argument(
        "--vcpus", type=any_number, default=1, metavar="N",
        help="together they hold mmu_lock for half of the time (1)",
    )  # fmt: skip
    native.add_argument(
        "--hold", type=any_number, default=50, metavar="US", help="how long at a time, in us (50)"
    )
    native.add_argument(
        "--related", type=float, default=0.5, metavar="SHARE",
        help="share of invalidations that hit the slot, 0 to 1 (0.5)",
    )  # fmt: skip
    native.add_argument(
        "--nested", type=float, default=0.1, metavar="SHARE",
        help="share with another one inside, 0 to 1 (0.1)",
    )  # fmt: skip
    run.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    add_format_option(run)
    run.add_argument("--quiet", "-q", action="store_true")
    run.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if args.trace is not None:
        from quiesce.outputs import require_writable

        require_writable("--trace", args.trace)
    if args.native and args.format:
        raise UsageError("--format is not for --native", "--json, or leave one of them out")
    if args.follow is not None:
        if args.native:
            raise UsageError(
                "--follow is for the model's source, not for --native", "leave one out"
            )
        from quiesce.commands.kvm_follow import follow_command

        return follow_command(args)
    return _run_native(args) if args.native else _run_threads(args)


# --- The model's own source ---------------------------------------------------------------------------


def _run_threads(args: argparse.Namespace) -> int:
    from quiesce.commands.kvm_options import design_scenario
    from quiesce.kvm.real.trace_threads import Recorder, recorded_class
    from quiesce.lockdep.threads import ThreadLockdep
    from quiesce.report.document import BlockGroup, text_section, with_problem
    from quiesce.report.run_sections import lockdep_sections, run_document, run_sections
    from quiesce.threads import run

    outputs = outputs_of(args)
    design_scenario(args.design, args.set)
    recorder = Recorder()
    scenario = design_scenario(args.design, args.set, recorded_class(recorder))
    lockdep = ThreadLockdep(scenario.comm)
    result = run(scenario, args.seconds, args.seed, listener=lockdep)
    report, checked = lockdep.report, _checked(recorder.trace(), args)
    whole = recorder.related + recorder.unrelated
    figures = {
        "invalidations": whole,
        "invalidations_per_second": round(whole / result.seconds, 1),
        "related_per_second": round(recorder.related / result.seconds, 1),
        "unrelated_per_second": round(recorder.unrelated / result.seconds, 1),
        **_update_figures(recorder.updates),
    }
    verdict = result.verdict if checked.allowed(args.design) else Verdict.VIOLATION
    lines = [*_figure_lines(figures, recorder.updates), *_trace_lines(checked, args)]

    def sections() -> list[BlockGroup]:
        shown = [*run_sections(result), text_section("\n".join(lines))]
        return [*shown, *([] if args.quiet else lockdep_sections(report))]

    def data() -> dict[str, Any]:
        found = report.to_dict() if report is not None else None
        trace = _trace_figures(checked, args.design)
        return {"schema": 1, **result.to_dict(), **figures, "lockdep": found, "trace": trace}

    document = run_document(result, report)
    if not checked.allowed(args.design):
        text = "; ".join(_trace_lines(checked, args))
        document = with_problem(document, NOT_A_RUN, text, result.scenario)
    outputs.write(replace(document, verdict=verdict, sections=sections, data=data))
    return verdict.exit_code


# --- The native twin ----------------------------------------------------------------------------------


def _run_native(args: argparse.Namespace) -> int:
    from quiesce.explorer.native.kernels.jit import NativeUnavailable
    from quiesce.harmless import json_text

    what = _threads(args)
    try:
        result, checked = _both_runs(what, args)
    except (NativeUnavailable, ImportError) as why:
        raise UsageError(
            f"--native cannot be used: {why}", "install it with `pip install 'quiesce[native]'`"
        ) from why
    if args.json:
        print(json_text(_native_json(result, checked, what, args)))
    else:
        print("\n".join(_native_lines(result, checked, what, args)))
    wrong = result.broken or result.deadlock or not checked.allowed(args.design)
    return int(bool(wrong))


def _threads(args: argparse.Namespace) -> Threads:
    """Return what the options ask for."""
    from quiesce.kvm.gates import GATES

    if args.design not in GATES:
        raise UsageError(f"there is no design `{args.design}`", f"one of {', '.join(GATES)}")
    if args.set:
        raise UsageError(
            "--set is for the model's source, not for --native", "leave one of them out"
        )
    for name, least in (("notifiers", 1), ("updaters", 0), ("vcpus", 0), ("hold", 1)):
        most = 1_000_000 if name == "hold" else MOST_THREADS
        value = getattr(args, name)
        if not least <= value <= most:
            raise UsageError(
                f"--{name} {value}: must be from {least} to {most}", f"--{name} {least}"
            )
    for name in ("related", "nested"):
        value = getattr(args, name)
        if not 0 <= value <= 1:
            raise UsageError(f"--{name} {value}: must be from 0 to 1", f"--{name} 0.5")
    try:
        from quiesce.kvm.real.native_gates import Threads
    except Exception as why:
        raise UsageError(
            f"--native cannot be used: {why}", "install it with `pip install 'quiesce[native]'`"
        ) from why
    return Threads(
        args.design, args.notifiers, args.updaters, args.vcpus, "nothing", args.related, args.nested,
        args.hold, seed=args.seed,
    )  # fmt: skip


SHARE_RECORDED = 0.2
"""The share of the time in which a second run is recorded, whose trace is checked: recording is slower."""


def _both_runs(what: Threads, args: argparse.Namespace) -> tuple[NativeResult, TraceResult]:
    from quiesce.kvm.real.native_gates import compile_kernels, run_native

    compile_kernels()
    recorded_for = min(1.0, SHARE_RECORDED * args.seconds)
    result = run_native(what, time.monotonic() + args.seconds - recorded_for)
    # With a system call inside, so that a log lasts longer than the threads take to begin.
    recorded = replace(what, log_events=50_000, work="dontneed", pause_us=20)
    second = run_native(recorded, time.monotonic() + recorded_for)
    assert second.trace is not None
    result.broken = result.broken or second.broken
    result.deadlock = result.deadlock or second.deadlock
    return result, _checked(second.trace, args)


def _native_json(
    result: NativeResult, checked: TraceResult, what: Threads, args: argparse.Namespace
) -> dict[str, object]:
    wrong = result.broken or result.deadlock or not checked.allowed(args.design)
    return {
        "schema": 1,
        "design": args.design,
        "engine": "native",
        "verdict": "violation" if wrong else "holds",
        "seconds": round(result.seconds, 3),
        "threads": {"notifiers": what.notifiers, "updaters": what.updaters, "vcpus": what.vcpus},
        **_native_figures(result),
        "vcpus": {"faults": result.faults, "held": round(result.held, 3)},
        "broken": [{"message": text, "times": times} for text, times in result.broken],
        "deadlock": result.deadlock,
        "trace": _trace_figures(checked, args.design),
    }


def _native_figures(result: NativeResult) -> dict[str, Any]:
    unrelated = result.invalidations - result.related
    return {
        "invalidations": result.invalidations,
        "invalidations_per_second": round(result.rate, 1),
        "related_per_second": round(result.related / result.seconds, 1),
        "unrelated_per_second": round(unrelated / result.seconds, 1),
        **_update_figures([wait / 1e6 for wait in result.waits.tolist()]),
    }


def _native_lines(
    result: NativeResult, checked: TraceResult, what: Threads, args: argparse.Namespace
) -> list[str]:
    updates = [wait / 1e6 for wait in result.waits.tolist()]
    lines = [
        f"{args.design} at native speed: {what.notifiers} notifiers, {what.updaters} updaters, "
        f"{what.vcpus} vCPUs, {result.seconds:.2f} s",
        "",
        *_figure_lines(_native_figures(result), updates),
    ]
    if what.vcpus:
        lines.append(
            f"vCPUs: {result.faults:,} faults, mmu_lock held {result.held:.0%} of the time"
        )
    lines += [f"  broken invariant: {text} ({times:,} times)" for text, times in result.broken]
    if result.deadlock:
        lines.append(
            f"  deadlock: {' and '.join(result.deadlock)} wait for each other: the notifier holds the "
            "semaphore and wants it again, behind the writer that waits for it"
        )
    lines += [*_trace_lines(checked, args), ""]
    seen = result.broken or result.deadlock or not checked.allowed(args.design)
    lines.append(
        "Verdict: violation."
        if seen
        else "Nothing wrong was seen, which proves nothing: `quiesce kvm check` does."
    )
    return lines


# --- What both print ------------------------------------------------------------------------------------


def _update_figures(updates: Sequence[float]) -> dict[str, Any]:
    from quiesce.kvm.real.stall_result import BOUNDS, histogram, quantile

    return {
        "updates": len(updates),
        "update_ms": {
            "p50": round(quantile(updates, 0.5), 4),
            "p99": round(quantile(updates, 0.99), 4),
            "max": round(max(updates, default=0.0), 4),
            "bounds": list(BOUNDS),
            "histogram": histogram(updates),
        },
    }


def _figure_lines(figures: dict[str, Any], updates: Sequence[float]) -> list[str]:
    from quiesce.kvm.real.stall_show import bars, shown_ms

    ms = figures["update_ms"]
    return [
        f"invalidations: {figures['invalidations']:,} whole, {figures['invalidations_per_second']:,.0f}/s "
        f"({figures['related_per_second']:,.0f}/s related, "
        f"{figures['unrelated_per_second']:,.0f}/s unrelated)",
        f"updates: {figures['updates']:,}, median {shown_ms(ms['p50'])}, p99 {shown_ms(ms['p99'])}, "
        f"max {shown_ms(ms['max'])}",
        *bars(updates),
    ]


def _checked(trace: Trace, args: argparse.Namespace) -> TraceResult:
    """Check what the threads did, and write it if that is asked for."""
    from quiesce.kvm.real.trace_check import check_trace
    from quiesce.kvm.real.trace_events import events_text

    if args.trace is not None:
        from quiesce.outputs import write_file

        write_file(args.trace, events_text(trace.events))
    return check_trace(trace)


def _trace_figures(checked: TraceResult, design: str) -> dict[str, object]:
    refusal = checked.refused.get(design)
    return {
        "events": checked.events,
        "updates": checked.updates,
        "invalidations": checked.invalidations,
        "allowed": refusal is None,
        "reason": refusal.reason if refusal is not None else None,
        "ruled_out": sorted(checked.refused),
    }


def _trace_lines(checked: TraceResult, args: argparse.Namespace) -> list[str]:
    refusal = checked.refused.get(args.design)
    if refusal is not None:
        return [f"trace: not a run of `{args.design}`: {refusal.reason}"]
    out = sorted(checked.refused)
    others = f"; it rules out {', '.join(out)}" if out else ""
    return [f"trace: {checked.events:,} events are a run of `{args.design}`{others}"]
