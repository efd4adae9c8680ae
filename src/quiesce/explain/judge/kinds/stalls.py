# SPDX-License-Identifier: Apache-2.0
"""Explain a CPU that does not get on: it spins for a lock, waits for another CPU, or loops."""

from __future__ import annotations

import re

from quiesce.explain.judge.answer import Answer, Chain, Judgement, LadderRow
from quiesce.explain.judge.call_path import above_the_lock, chain, enters_interrupt, useful
from quiesce.explain.judge.explanation import Explanation
from quiesce.explain.judge.kind import Judge, register
from quiesce.explain.judge.missing import GET_IT, not_shown
from quiesce.explain.judge.modes import plain_name
from quiesce.explain.judge.places import held_notes
from quiesce.explain.judge.triggers import trigger_of
from quiesce.explain.judge.words import names_of
from quiesce.explain.read.model import PrintedFrame, PrintedReport

_SPINS = re.compile(
    r"(?:native_|__pv_)?queued_(?:spin|read|write)_lock_slowpath|_*(?:do_)?raw_spin_lock\w*|_raw_\w+lock\w*"
    r"|osq_lock|mutex_spin_on_owner|rwsem_spin_on_owner|rwsem_optimistic_spin|delay_tsc|__delay|cpu_relax"
    r"|pv_wait\w*|kvm_wait|arch_spin_lock\w*|ticket_spin_\w+|lock_acquire|rep_nop|native_halt"
)
_LOCK = re.compile(r".*(?:spin|read|write|raw).*lock.*|osq_lock|.*spin_on_owner")
_OTHER_CPUS = re.compile(
    r"smp_call_function\w*|csd_lock_wait|__csd_lock_wait|on_each_cpu\w*|flush_tlb_\w+|text_poke_\w+"
    r"|multi_cpu_stop|stop_machine\w*|kick_all_cpus\w*"
)
_FINDING = re.compile(
    r"nmi_\w+|\w*watchdog\w*|arch_trigger_\w*|rcu_dump_cpu\w*|show_regs|dump_cpu_task\w*|panic|show_stack"
    r"|rcu_sched_clock_irq|rcu_check_callbacks|__rcu_pending|rcu_pending|print_\w*cpu_stall\w*"
    r"|check_cpu_stall|dump_stack\w*|update_process_times|tick_sched_\w+|tick_nohz_handler|tick_periodic"
)
"""Functions of the interrupt in which a stall is noticed and printed."""


def _explain(report: PrintedReport) -> Explanation:
    frames = _own(report.backtrace)
    names = names_of(report)
    held = [names.of(lock) for lock in report.held]
    cpu = report.facts.get("cpu", "")
    who = report.task or (f"CPU {cpu}" if cpu else "a CPU")
    text, waits, by, held = _what(report, frames, who, held)
    row = LadderRow(1, f"{who}{f' on CPU {cpu}' if cpu and report.task else ''}{_time(report)}",
              (f"holds {', '.join(held)}",) if held else (), waits, "<- 2" if by else "")  # fmt: skip
    rows = [row, LadderRow(2, f"{by}, not in the report", in_report=False)] if by else [row]
    when = trigger_of(frames).when
    chains = (Chain("Blocked", f"1{', ' + when if when else ''}", chain(frames)),) if frames else ()
    return Explanation(
        Answer(
            Judgement.HUNG, text, tuple(rows), _notes(report), chains, () if frames else (GET_IT,)
        ),
        locks=held_notes(report),
        not_shown=tuple(not_shown(report)),
    )


def _what(
    report: PrintedReport, frames: tuple[PrintedFrame, ...], who: str, held: list[str]
) -> tuple[str, str, str, list[str]]:
    """Return the verdict, what the CPU does, what it waits for, and what it holds."""
    names = [plain_name(frame.function) for frame in frames]
    rip = plain_name(report.facts.get("rip", ""))
    inner = [name for name in (rip, *names[:6]) if name]
    function = plain_name(above_the_lock(frames)[0].function) if frames else rip
    place = f" in {function}()" if function else ""
    if any(_OTHER_CPUS.fullmatch(name) for name in inner):
        waits = f"waits{place} until other CPUs answer"
        text = f"Hung: {who} {waits}. Which CPU does not answer is not shown."
        return text, waits, "a CPU that runs with interrupts off", held
    if any(
        _LOCK.fullmatch(name) and _SPINS.fullmatch(name) and "unlock" not in name
        for name in inner[:4]
    ):
        last = report.held[-1] if report.held else None
        wanted = ""
        if last is not None and {plain_name(f.function) for f in last.at} & set(names[:8]):
            wanted, held = held[-1], held[:-1]
        waits = f"spins for {wanted or 'a lock'}{place}"
        return (
            f"Hung: {who} {waits}. Which CPU holds it is not shown.",
            waits,
            (f"a CPU that holds {wanted or 'that lock'}"),
            held,
        )
    if not frames:
        return f"Hung: {who} makes no progress. Its stack is not in this text.", "", "", held
    waits = f"runs{place} and does not leave it"
    return (
        f"Hung: {who} {waits}. Nothing in the dump shows that it waits for a lock.",
        waits,
        "",
        held,
    )


def _time(report: PrintedReport) -> str:
    seconds, jiffies = report.facts.get("seconds", ""), report.facts.get("jiffies", "")
    return f", for {seconds} s" if seconds else (f", for {jiffies} jiffies" if jiffies else "")


def _notes(report: PrintedReport) -> tuple[str, ...]:
    starved = report.facts.get("starved", "")
    if not starved:
        return ()
    return (
        f"The kernel thread {starved} itself did not run: the stall may only follow from that.",
    )


def _own(frames: tuple[PrintedFrame, ...]) -> tuple[PrintedFrame, ...]:
    """Return *frames* without the interrupt that found the stall and printed them."""
    rest = useful(frames)
    printed = [i for i, f in enumerate(rest) if _FINDING.fullmatch(plain_name(f.function))]
    if not printed:
        return tuple(rest)
    start = printed[-1] + 1
    entries = [i for i in range(start, len(rest)) if enters_interrupt(rest[i].function)]
    if entries:
        start = entries[0] + 1
        while start < len(rest) and enters_interrupt(rest[start].function):
            start += 1
    return tuple(rest[start:])


def _identity(report: PrintedReport) -> tuple[str, ...]:
    """The function that does not get on; without a stack nothing says that two are the same."""
    frames = above_the_lock(_own(report.backtrace)) if report.backtrace else []
    return (plain_name(frames[0].function),) if frames else ("cut", report.task, report.title)


register(Judge("soft-lockup", _explain, identity=_identity))
register(Judge("hard-lockup", _explain, identity=_identity))
register(Judge("rcu-stall", _explain, identity=_identity))
