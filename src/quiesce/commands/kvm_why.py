# SPDX-License-Identifier: Apache-2.0
"""``quiesce kvm why``: why a request is refused; and what is wrong with a log of requests."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from quiesce.errors import UsageError
from quiesce.harmless import harmless, json_text, one_line
from quiesce.kvm.real.device import PAGE
from quiesce.kvm.real.requests import Request
from quiesce.kvm.real.requests_log import Logged, RequestLog, parse_request, read_log, six_numbers
from quiesce.kvm.real.requests_table import CHECKS, Check
from quiesce.kvm.real.slots_index import Slot
from quiesce.kvm.real.why import EFFECTS, Why, error_name, flags_text, span, why
from quiesce.kvm.real.why_lint import Findings, Hole, lint
from quiesce.verdict import Verdict

_PLACE = re.compile(r"(.+):(\d+)")
_HOLES_SHOWN = 5


def why_command(args: argparse.Namespace) -> int:
    """Answer, and return the exit code."""
    if args.lint is not None:
        if args.request or args.after is not None:
            raise UsageError("--lint takes no request", "give the log alone: --lint LOG")
        found = lint(read_log(args.lint))
        print(json_text(lint_to_json(found)) if args.json else render_lint(found))
        return (Verdict.HOLDS if found.clean else Verdict.VIOLATION).exit_code
    logged, before, log = _asked(args.request, args.after)
    answer = why(logged, before)
    print(json_text(to_json(answer)) if args.json else render(answer, log))
    if not answer.decided:
        return Verdict.INCOMPLETE.exit_code
    return (Verdict.VIOLATION if answer.errno else Verdict.HOLDS).exit_code


def _asked(words: list[str], after: str | None) -> tuple[Logged, list[Logged], RequestLog]:
    """Return the request that *words* are, those before it, and the log that they are of."""
    if not words:
        raise UsageError(
            "which request?",
            "give SLOT FLAGS GPA SIZE HVA, a line of a log, LOG:LINE, or --lint LOG",
        )
    place = _PLACE.fullmatch(words[0]) if len(words) == 1 else None
    if place is not None and os.path.exists(place[1]):
        if after is not None:
            raise UsageError("LOG:LINE and --after exclude each other", "leave --after out")
        return _line_of(read_log(place[1]), int(place[2]))
    log = read_log(after) if after is not None else RequestLog("the request")
    text = " ".join(words)
    logged = six_numbers(text) or parse_request(text, log)
    if logged is None:
        raise UsageError(
            f"`{one_line(text)}` is not a request",
            "give SLOT FLAGS GPA SIZE HVA, a line of a log, or LOG:LINE of a file that is there",
        )
    return logged, log.requests, log


def _line_of(log: RequestLog, line: int) -> tuple[Logged, list[Logged], RequestLog]:
    for number, logged in enumerate(log.requests):
        if logged.line == line:
            return logged, log.requests[:number], log
    known = [str(logged.line) for logged in log.requests]
    raise UsageError(
        f"{log.name}:{line} is not a request of KVM_SET_USER_MEMORY_REGION",
        f"the requests of this log are on lines {known[0]} to {known[-1]}",
    )


# --- One request --------------------------------------------------------------------------------------


def request_text(r: Request, log: RequestLog) -> str:
    """Return a request of *log* as one line."""
    parts = [f"slot {r.id}" + (f" of address space {r.as_id}" if r.as_id else "")]
    parts.append(f"gpa {span(r.gpa, r.size)}" if r.size else f"size 0, gpa {r.gpa:#x}")
    parts += [f"hva {log.host_text(r.hva)}", f"flags {flags_text(r.flags)}"]
    if r.version == 2:
        parts.append(f"version 2, memfd {r.memfd}, offset {r.offset:#x}")
    return ", ".join(parts)


def slot_text(slot: Slot, log: RequestLog) -> str:
    """Return a slot as one line."""
    gpa = span(slot.base_gfn * PAGE, slot.npages * PAGE)
    return (
        f"slot {slot.id}: gpa {gpa}, hva {log.host_text(slot.hva)}, flags {flags_text(slot.flags)}"
    )


def render(answer: Why, log: RequestLog) -> str:
    """Return the answer as text."""
    lines = [
        f"request: {request_text(answer.logged.request, log)}",
        f"before it: {answer.requests} requests; {answer.slots} slots are there",
    ]
    check = answer.check
    if check is None:
        lines.append(f"accepted: it {EFFECTS[answer.asked.change]}")
    elif not check.errno:
        lines.append(f"accepted: {check.condition}")
    else:
        lines += [
            f"refused with {check.error}: check {_place(check)} `{check.name}`",
            f"  {check.condition}",
            f"  in the kernel: {check.source}" + (f"; {check.note}" if check.note else ""),
        ]
    lines += [f"  {line}" for line in answer.details]
    if answer.slot is not None:
        in_the_way = answer.slot is not answer.asked.old
        lines.append(f"{'in the way' if in_the_way else 'the slot'}: {slot_text(answer.slot, log)}")
        lines.append(f"  created by {_by(answer.made_by, log)}")
        if answer.changed_by is not None:
            lines.append(f"  last changed by {_by(answer.changed_by, log)}")
    for other in answer.also:
        lines.append(f"also wrong: check {_place(other)} `{other.name}`: {other.condition}")
    if answer.recorded:
        lines += ["not decided:", f"  {answer.recorded}"]
    if answer.contradictions:
        lines.append("the requests before it and our memslots contradict each other:")
        lines += [f"  {contradiction}" for contradiction in answer.contradictions[:5]]
    return harmless("\n".join(lines))


def _place(check: Check) -> str:
    return f"{CHECKS.index(check) + 1} of {len(CHECKS)}"


def _by(logged: Logged | None, log: RequestLog) -> str:
    if logged is None:
        return "the kernel"
    return f"line {logged.line}: {request_text(logged.request, log)}"


def to_json(answer: Why) -> dict[str, object]:
    """Return the answer as a JSON object."""
    check, slot = answer.check, answer.slot
    change = answer.asked.change
    return {
        "schema": 1,
        "request": request_to_json(answer.logged.request),
        "errno": error_name(answer.errno) if answer.errno else None,
        "check": check_to_json(check) if check is not None else None,
        "change": change.value if change is not None else None,
        "details": answer.details,
        "slot": None if slot is None else slot_to_json(slot),
        "in_the_way": slot is not None and slot is not answer.asked.old,
        "created_by": logged_to_json(answer.made_by),
        "changed_by": logged_to_json(answer.changed_by),
        "also": [check_to_json(other) for other in answer.also],
        "undecided": answer.recorded or None,
        "contradictions": [str(contradiction) for contradiction in answer.contradictions],
    }


def request_to_json(r: Request) -> dict[str, object]:
    """Return a request as a JSON object."""
    data: dict[str, object] = {
        "as_id": r.as_id,
        "slot": r.id,
        "flags": r.flags,
        "gpa": r.gpa,
        "size": r.size,
        "hva": r.hva,
        "version": r.version,
    }
    if r.version == 2:
        data |= {"offset": r.offset, "memfd": r.memfd}
    return data


def slot_to_json(slot: Slot) -> dict[str, object]:
    """Return a slot as a JSON object."""
    return {
        "as_id": slot.as_id,
        "slot": slot.id,
        "flags": slot.flags,
        "gpa": slot.base_gfn * PAGE,
        "size": slot.npages * PAGE,
        "hva": slot.hva,
    }


def check_to_json(check: Check) -> dict[str, object]:
    """Return a row of the table as a JSON object."""
    return {
        "number": CHECKS.index(check) + 1,
        "name": check.name,
        "condition": check.condition,
        "errno": check.error,
        "source": check.source,
    }


def logged_to_json(logged: Logged | None) -> dict[str, object] | None:
    """Return a request of a log as a JSON object."""
    return None if logged is None else {"line": logged.line, **request_to_json(logged.request)}


# --- A log --------------------------------------------------------------------------------------------


def render_lint(found: Findings) -> str:
    """Return what was found in a log as text."""
    log = found.log
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(found.changes.items()))
    lines = [
        f"{Path(log.name).name}: {len(log.requests)} requests ({kinds}); {found.slots} slots are left",
        *_refused(found),
        *_leaks(found),
        *_holes(found.holes),
        "limits:",
    ]
    lines += [
        f"  {what}: {reached:,} of {limit:,} ({reached / limit:.2%})"
        for what, reached, limit in found.limits()
    ]
    if found.contradictions:
        lines.append("the log and our memslots contradict each other:")
        lines += [f"  {contradiction}" for contradiction in found.contradictions[:5]]
    return harmless("\n".join(lines))


def _refused(found: Findings) -> list[str]:
    if not found.refused:
        return ["refused: none"]
    lines = [
        f"refused: {len(found.refused)}; `quiesce kvm why {one_line(found.log.name)}:LINE` says why"
    ]
    return lines + [
        f"  line {logged.line}: {error_name(logged.errno or 0)}: {request_text(logged.request, found.log)}"
        for logged in found.refused[:_HOLES_SHOWN]
    ]


def _leaks(found: Findings) -> list[str]:
    lines = []
    if found.ids_leak:
        some = ", ".join(map(str, found.freed[:8])) + (", ..." if len(found.freed) > 8 else "")
        lines.append(
            f"ids leak: {len(found.freed)} ids were freed and not used again, "
            f"and later slots took new ids: {some}"
        )
    else:
        lines.append("ids: those that are freed are used again")
    if found.slots_leak:
        for copies in sorted(found.copies, key=len, reverse=True)[:3]:
            ids = ", ".join(str(slot.id) for slot in copies[:8])
            lines.append(
                f"slots leak: {len(copies)} slots map the same host memory at {copies[0].hva:#x}: ids {ids}"
            )
    return lines


def _holes(holes: list[Hole]) -> list[str]:
    if not holes:
        return ["holes in guest RAM: none"]
    timed = [hole for hole in holes if hole.seconds is not None]
    lines = [
        f"holes in guest RAM: {len(holes)} ranges were absent for a while; a vCPU gets MMIO exits there"
    ]
    order = sorted(timed, key=lambda h: h.seconds or 0.0, reverse=True) if timed else holes
    for hole in order[:_HOLES_SHOWN]:
        took = "" if hole.seconds is None else f" for {hole.seconds * 1e3:.2f} ms"
        lines.append(
            f"  {hole.size >> 10} KiB at {hole.start:#x}{took}: deleted by line {hole.deleted.line}, "
            f"back with line {hole.created.line}"
        )
    return lines


def lint_to_json(found: Findings) -> dict[str, object]:
    """Return what was found in a log as a JSON object."""
    return {
        "schema": 1,
        "log": found.log.name,
        "requests": len(found.log.requests),
        "changes": dict(found.changes),
        "slots": found.slots,
        "refused": [
            {"line": logged.line, "errno": error_name(logged.errno or 0)}
            for logged in found.refused
        ],
        "ids_leak": found.ids_leak,
        "freed_ids": found.freed,
        "slots_leak": found.slots_leak,
        "copies": [[slot_to_json(slot) for slot in copies] for copies in found.copies],
        "holes": [
            {
                "gpa": hole.start,
                "size": hole.size,
                "seconds": hole.seconds,
                "deleted_line": hole.deleted.line,
                "created_line": hole.created.line,
            }
            for hole in found.holes
        ],
        "limits": [
            {"what": what, "reached": reached, "limit": limit}
            for what, reached, limit in found.limits()
        ],
        "contradictions": [str(contradiction) for contradiction in found.contradictions],
    }
