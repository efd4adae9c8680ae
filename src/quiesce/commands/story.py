# SPDX-License-Identifier: Apache-2.0
"""``quiesce`` alone: the story of the patch series, every word of it computed.

The five designs are checked and compared, the shortest deadlock of the rwsem is drawn, and lockdep's
report of it is explained. Exit code 0 exactly when the designs came out as they should.
"""

from __future__ import annotations

import argparse
import textwrap

from quiesce.commands.kvm import DesignResult, check_design
from quiesce.commands.kvm_options import DESIGNS
from quiesce.commands.options import search_bounds
from quiesce.explorer.reference.trace import follow
from quiesce.report.check_sections import render_finding, summary
from quiesce.report.table import COLUMNS, cell, render_table
from quiesce.verdict import Verdict

EXPECTED: dict[str, frozenset[str]] = {
    "always_lock": frozenset(),
    "elide_unguarded": frozenset(["balance", "stale translation"]),
    "rwsem": frozenset(["deadlock"]),
    "count": frozenset(["starvation"]),
    "phased": frozenset(),
}
"""What must be found in each design."""

MAY_FOLLOW: dict[str, frozenset[str]] = {
    "elide_unguarded": frozenset(["starvation", "deadlock"]),
    "rwsem": frozenset(["starvation"]),
}
"""What may be found besides, or stay undecided: it follows from what must be found."""

INTRODUCTION = """\
KVM counts the invalidations of guest memory that are in progress, under mmu_lock, so that a
vCPU fault that raced with one is retried. Where no memslot covers the range, taking mmu_lock
is waste. Leaving it out needs the start and the end of an invalidation to see the same
memslots. Five ways to see to that, every interleaving of each tried:"""


def story_command(args: argparse.Namespace) -> int:
    """Tell the story; return 0 if the designs came out as they should, else 1 or 3."""
    print(_filled(INTRODUCTION), end="\n\n", flush=True)
    options = argparse.Namespace(
        no_fusion=False, quiet=args.quiet, json=False, first=False,
        max_states=None, max_memory=None, max_seconds=None, fairness="strong",
        explorer="auto", no_symmetry=False, no_partial_order=False, cores=None, checkpoint="",
    )  # fmt: skip
    bounds = search_bounds(options)
    results = {design: check_design(design, (), options, bounds, args.quiet) for design in DESIGNS}
    print(render_table([(r.design, r.result, r.lockdep.word) for r in results.values()]))
    _tell_deadlock(results["rwsem"])
    _tell_explanation(results["rwsem"])
    _tell_starvation(results["count"], results["phased"])
    print(NEXT)
    return _exit_code(results)


def _tell_deadlock(rwsem: DesignResult) -> None:
    finding = next(iter(rwsem.result.of_kind("deadlock")), None)
    if finding is None:
        return
    _title("The deadlock of the rwsem, in the fewest steps")
    print(render_finding(rwsem.result.program_of(finding), finding))


def _tell_explanation(rwsem: DesignResult) -> None:
    report = rwsem.lockdep.report
    if report is None:
        return
    from quiesce.explain.log import explain_text
    from quiesce.explain.show.as_text import render

    _title("What lockdep says of it, explained")
    print(_filled(
        "lockdep needs no deadlock: one task that starts and ends one invalidation is enough. Its "
        "report in full: quiesce kvm check --design rwsem --lockdep. What it means:"
    ))  # fmt: skip
    print()
    print(
        render(
            explain_text(report.text()),
        ).rstrip(),
        end="\n\n",
    )


def _tell_starvation(count: DesignResult, phased: DesignResult) -> None:
    found = next(
        (f for f in count.result.of_kind("starvation") if f.property == "updates_finish"), None
    )
    if found is not None and found.loop_start is not None:
        _title("The price of the merged design, and a way not to pay it")
        trace = follow(count.result.program_of(found), found)
        loop = len(trace.steps) - found.loop_start
        print(_filled(
            f"count: an update can wait forever. After {found.loop_start} steps, {loop} more lead back "
            "to where they began, and every thread gets its turn in them but the updater: new "
            "invalidations start before the old ones have ended. To see it: quiesce kvm check "
            "--design count"
        ))  # fmt: skip
    if phased.result.verdict is Verdict.HOLDS:
        print()
        print(_filled(
            "phased: an invalidation belongs to the phase that it began in; an update starts a new "
            "phase and waits for the old one only, which no invalidation can join. Proved: "
            f"{summary(phased.result)}."
        ))  # fmt: skip
    print()


NEXT = """\
Where to go next
  dmesg | quiesce explain            what a lockdep report means, in a minute
  quiesce check FILE.py              your own locking scheme, every interleaving
  quiesce kvm check --design count   one design in full; --notifiers 3 for more
  quiesce kvm run --design rwsem     the same source on real threads
  docs/language.md, docs/kvm.md      how to write one, and what is modelled"""


def _exit_code(results: dict[str, DesignResult]) -> int:
    undecided = [text for text in map(told_undecided, results.values()) if text]
    if undecided:
        print("\nNot decided:\n" + "\n".join(undecided))
        return Verdict.INCOMPLETE.exit_code
    wrong = [text for text in map(told_wrong, results.values()) if text]
    if wrong:
        print("\nNot as it should be:\n" + "\n".join(wrong))
    return (Verdict.VIOLATION if wrong else Verdict.HOLDS).exit_code


def told_undecided(design: DesignResult) -> str:
    """Say which columns of a design are not decided; empty if all are but those that may follow."""
    may = EXPECTED[design.design] | MAY_FOLLOW.get(design.design, frozenset())
    unknown = [h for h, names in COLUMNS if cell(design.result, names) == "?" and h not in may]
    texts = [f"{', '.join(unknown)}: {design.result.incomplete}"] if unknown else []
    if design.lockdep.verdict is Verdict.INCOMPLETE:
        texts.append(design.lockdep.stopped)
    return "\n".join(f"  {design.design}: {text}" for text in texts)


def told_wrong(design: DesignResult) -> str:
    """Say in what a design did not come out as it should; empty if it did.

    What must be found was, nothing else was but what may follow from it, and lockdep reports a cycle
    for the rwsem alone.
    """
    name = design.design
    found = frozenset(head for head, names in COLUMNS if cell(design.result, names) == "FOUND")
    must = EXPECTED[name]
    missing, unexpected = must - found, found - must - MAY_FOLLOW.get(name, frozenset())
    reported = design.lockdep.word == "circular"
    complaints = [f"{head} was not found" for head in sorted(missing)]
    complaints += [f"{head} was found" for head in sorted(unexpected)]
    if reported != (name == "rwsem"):
        complaints.append("lockdep reported a cycle" if reported else "lockdep was silent")
    return f"  {name}: {', '.join(complaints)}" if complaints else ""


def _title(text: str) -> None:
    print(f"{text}\n{'=' * len(text)}\n")


def _filled(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 79)
