# SPDX-License-Identifier: Apache-2.0
"""The JSON of every command, as docs/json.md describes it: keys and types, written by hand.

A type is a Python type; ``Maybe(type)``; ``[type]`` for a list; ``{str: type}`` for an object with names
as keys; ``{"key": type, ...}`` for an object with just these keys; or a function that checks a value
itself. Nothing may be missing, and nothing may be there that is not described.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Maybe:
    """The type, or null."""

    type: Any


@dataclass(frozen=True)
class OneOf:
    """One of these words."""

    words: tuple[str, ...]


class LockdepReport:
    """A lockdep report: keys of its own for each kind."""


VALUE = object()
"""A value of the protocol: null, bool, int, string, or a list of such."""

VERDICT = OneOf(("holds", "violation", "incomplete", "error"))
MODE = OneOf(("exclusive", "shared", "shared recursive"))
KIND = OneOf(
    (
        "deadlock", "stuck thread", "lost wakeup", "data race", "broken invariant", "failed assert",
        "out of range", "endless step", "livelock", "starvation", "vacuous",
    )
)  # fmt: skip

STATE = {
    "shared": {str: VALUE},
    "threads": {str: {"at": str, "line": int, "locals": {str: VALUE}}},
}
WAITING = {
    "thread": str,
    "at": str,
    "shown": str,
    "lock": Maybe(str),
    "held_by": [str],
    "itself": Maybe({"file": str, "line": int}),
}
SPINNING = {
    "thread": str,
    "file": str,
    "line": int,
    "loop": str,
    "on": [
        {"name": str, "value": VALUE, "set_by": Maybe(str), "step": Maybe(int), "line": Maybe(int)}
    ],
}
STEP = {
    "thread": str,
    "action": str,
    "file": str,
    "line": int,
    "actions": [{"text": str, "shown": str, "file": str, "line": int}],
    "failure": Maybe(str),
    "state": STATE,
    "held": {str: [{"lock": str, "annotation": bool, "mode": MODE, "file": str, "line": int}]},
    "waiting": [WAITING],
}
COUNTEREXAMPLE = {
    "kind": KIND,
    "property": str,
    "message": str,
    "threads": [{"name": str, "daemon": bool}],
    "initial": Maybe(STATE),
    "steps": [STEP],
    "loop_start": Maybe(int),
    "waiting": [WAITING],
    "spinning": [SPINNING],
}
CHECK = {
    "schema": int,
    "scenario": str,
    "design": Maybe(str),
    "verdict": VERDICT,
    "properties": [
        {
            "name": str,
            "kind": str,
            "verdict": VERDICT,
            "informational": bool,
            "finding": Maybe(KIND),
            "message": Maybe(str),
            "expected": Maybe(OneOf(("holds", "violation"))),
        }
    ],
    "as_expected": Maybe(bool),
    "states": int,
    "transitions": int,
    "depth": int,
    "seconds": float,
    "complete": bool,
    "incomplete_because": Maybe(str),
    "never_executed": Maybe([{"file": str, "line": int, "kind": str, "text": str}]),
    "notes": [str],
    "fairness": OneOf(("strong", "weak", "none")),
    "engine": OneOf(("reference", "native")),
    "counterexample": Maybe(COUNTEREXAMPLE),
    "replay": Maybe(str),
    "lockdep": Maybe(LockdepReport),
    "lockdep_incomplete_because": Maybe(str),
}
CHECK_ALL = {**CHECK, "other_counterexamples": [{**COUNTEREXAMPLE, "replay": Maybe(str)}]}
COMPARE = {
    "schema": int,
    "scenario": str,
    "over": str,
    "variants": [{"value": str, **{k: v for k, v in CHECK.items() if "lockdep" not in k}}],
    "differences": [
        {
            "first": str,
            "second": str,
            "property": str,
            "same_lines": int,
            "first_line": Maybe(str),
            "second_line": Maybe(str),
            "end": Maybe(str),
        }
    ],
}
KVM_CHECK = {"schema": int, "designs": [CHECK]}
REPLAY = {
    "schema": int,
    "scenario": str,
    "settings": [str],
    "file": Maybe(str),
    "changed": bool,
    "property": str,
    "verdict": VERDICT,
    "incomplete_because": Maybe(str),
    "no_longer_possible": Maybe(str),
    "fairness": OneOf(("strong", "weak", "none")),
    "counterexample": Maybe(COUNTEREXAMPLE),
}

FRAME = {"function": str, "file": str, "line": int, "offset": int, "size": int, "module": str}
CLASS = {
    "name": str,
    "usage": str,
    "wait_outer": int,
    "wait_inner": int,
    "usages": [{"name": str, "trace": [FRAME]}],
    "key": FRAME,
}
HELD_LOCK = {
    "cls": CLASS,
    "instance": str,
    "address": int,
    "ip": FRAME,
    "read": int,
    "trylock": bool,
    "sync": bool,
}
LINK = {"cls": CLASS, "trace": [FRAME]}
IRQ_EVENT = {"stamp": int, "ip": FRAME}
TASK = {
    "comm": str,
    "pid": int,
    "hardirq_context": int,
    "softirq_context": int,
    "softirq_count": int,
    "hardirqs_enabled": bool,
    "softirqs_enabled": bool,
    "irq_events": int,
    "hardirq_enable": IRQ_EVENT,
    "hardirq_disable": IRQ_EVENT,
    "softirq_enable": IRQ_EVENT,
    "softirq_disable": IRQ_EVENT,
    "held": [HELD_LOCK],
}
LOCKDEP = {
    "kind": str,
    "title": str,
    "note": str,
    "text": str,
    "ident": {"release": str, "build": str, "taint": str},
    "task": TASK,
    "stack": [FRAME],
    "linux_would_miss": bool,
}
TRACE = [FRAME]
LOCKDEP_BY_KIND: dict[str, dict[str, Any]] = {
    "circular": {"next": HELD_LOCK, "prev": HELD_LOCK, "chain": [LINK]},
    "recursive": {
        "next": HELD_LOCK, "prev": HELD_LOCK, "comparison": Maybe(int), "earlier": TRACE,
    },
    "inconsistent": {"lock": HELD_LOCK, "old": str, "new": str, "old_trace": TRACE},
    "safe-unsafe": {
        "next": HELD_LOCK, "prev": HELD_LOCK, "state": str,
        "safe_path": [LINK], "safe_trace": TRACE, "unsafe_path": [LINK], "unsafe_trace": TRACE,
    },
    "irq-inversion": {"lock": HELD_LOCK, "forwards": bool, "state": str, "path": [LINK]},
    "wait-context": {"lock": HELD_LOCK, "context": int},
    "unlock-balance": {"lock": str, "ip": FRAME},
    "nested-not-taken": {"lock": HELD_LOCK, "nest_lock": str},
    "held-freed": {"lock": HELD_LOCK, "start": int, "end": int},
    "held-at-exit": {},
    "held-returning-user": {},
    "rcu": {"place": str, "message": str, "debug_locks": bool},
    "non-static-key": {"lock": str},
    "limits": {"limit": str, "detail": [str], "show_all": [TASK]},
    "lockdep-warn": {"condition": str, "ip": FRAME},
}  # fmt: skip

SITE = Maybe({"file": str, "line": int, "text": str})
RUN_FINDING = {
    "kind": str,
    "message": str,
    "site": SITE,
    "threads": [
        {
            "name": str,
            "doing": OneOf(("waits", "runs", "finished")),
            "step": str,
            "lock": str,
            "mode": OneOf(("", *MODE.words)),
            "seconds": float,
            "site": SITE,
            "held_by": [{"thread": str, "mode": MODE, "site": SITE}],
            "holds": [{"lock": str, "site": SITE}],
        }
    ],
    "state": {str: str},
    "seconds": float,
    "steps": int,
}
RUN = {
    "schema": int,
    "scenario": str,
    "verdict": VERDICT,
    "seed": int,
    "seconds": float,
    "rounds": int,
    "looks": int,
    "roles": [
        {"kind": str, "threads": int, "steps": int, "steps_per_second": float, "finished": int}
    ],
    "findings": [RUN_FINDING],
    "notes": [RUN_FINDING],
    "eventually": [
        {"name": str, "informational": bool, "times": int, "longest_false": float, "steps": int}
    ],
    "incomplete_because": Maybe(str),
    "proved": bool,
    "lockdep": Maybe(LockdepReport),
}

LOCK_NOTE = {
    **dict.fromkeys(
        (
            "name", "class", "role", "mode", "held_mode", "nature", "usage", "usage_text",
            "wait_type", "where", "stands_for", "blocks", "source", "primitive", "address",
            "short_name",
        ),
        str,
    ),
    "annotation": bool,
    "line": int,
}  # fmt: skip
PROOF_VERDICT = OneOf(("blocks", "does-not-block", "not_modelled", "incomplete"))
EXPLAIN_VERDICT = OneOf(("hangs", "hangs-if", "cannot-hang", "undecided", "hung", "misuse", "off"))
OTHER_KINDS = (
    "hung-task", "blocked-tasks", "soft-lockup", "hard-lockup", "rcu-stall", "sleeping-while-atomic",
    "dept", "witness",
)  # fmt: skip
"""Kinds of reports that are not lockdep's."""
ANSWER = {
    "verdict": EXPLAIN_VERDICT,
    "text": str,
    "rows": [
        {
            "number": int,
            "who": str,
            "holds": [str],
            "waits": str,
            "arrow": str,
            "in_report": bool,
            "last": int,
        }
    ],
    "notes": [str],
    "chains": [{"label": str, "what": str, "functions": [str]}],
    "fixes": [str],
    "refused": str,
}
EXCUSE = {
    "code": str,
    "weight": OneOf(("excludes", "asks", "notes")),
    "text": str,
    "notes": [str],
    "fixes": [str],
    "rows": [int],
}
EXPLAINED = {
    "schema": int,
    "reports": [
        {
            "kind": OneOf((*LOCKDEP_BY_KIND, *OTHER_KINDS)),
            "title": str,
            "kernel": str,
            "task": str,
            "line": int,
            "end_line": int,
            "complete": bool,
            "missing": [str],
            "locks": [LOCK_NOTE],
            "links": int,
            "held": [str],
            "held_locks": [
                {
                    "name": str,
                    "class": str,
                    "address": str,
                    "usage": str,
                    "wait_type": Maybe([Maybe(int)]),
                    "at": str,
                    "line": int,
                }
            ],
            "verdict": EXPLAIN_VERDICT,
            "verdict_reason": str,
            "answer": ANSWER,
            "proof": {
                "verdict": PROOF_VERDICT,
                "reason": str,
                "steps": int,
                "interleaving": str,
                "readings": [
                    {
                        "name": str,
                        "verdict": PROOF_VERDICT,
                        "reason": str,
                        "steps": int,
                        "interleaving": str,
                        "states": int,
                    }
                ],
            },
            "fingerprint": str,
            "count": int,
            "same_as": Maybe(int),
            "explanation": {
                "summary": str,
                "fixes": [str],
                "excuses": [EXCUSE],
                "interleavings": [{"title": str, "text": str, "waits": [str]}],
                "not_shown": [str],
            },
        }
    ],
    "unread": int,
    "others": [{"name": str, "what": str, "line": int}],
}  # fmt: skip
OUTCOME = {
    "name": str,
    "verdict": OneOf(("pass", "fail")),
    "report": Maybe(str),
    "step": Maybe(int),
}


def problems(value: Any, type_: Any, where: str = "$") -> Iterator[str]:
    """Yield what is wrong with *value*, each with its place."""
    match type_:
        case Maybe():
            if value is not None:
                yield from problems(value, type_.type, where)
        case OneOf():
            if value not in type_.words:
                yield f"{where}: {value!r} is none of {', '.join(type_.words)}"
        case list():
            if not isinstance(value, list):
                yield f"{where}: {value!r} is no list"
                return
            for i, item in enumerate(value):
                yield from problems(item, type_[0], f"{where}[{i}]")
        case dict():
            yield from _object_problems(value, type_, where)
        case _ if type_ is LockdepReport:
            kind = value.get("kind") if isinstance(value, dict) else None
            yield from problems(value, {**LOCKDEP, **LOCKDEP_BY_KIND.get(str(kind), {})}, where)
        case _ if type_ is VALUE:
            if not isinstance(value, bool | int | str | list | None):
                yield f"{where}: {value!r} is no value of the protocol"
        case _:
            allowed = (int, float) if type_ is float else type_
            if not isinstance(value, allowed) or (type_ is int and isinstance(value, bool)):
                yield f"{where}: {value!r} is no {type_.__name__}"


def _object_problems(value: Any, type_: dict[Any, Any], where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: {value!r} is no object"
    elif str in type_:
        for key, item in value.items():
            yield from problems(item, type_[str], f"{where}.{key}")
    else:
        yield from (f"{where}: {key} is missing" for key in type_.keys() - value.keys())
        yield from (f"{where}: {key} is not described" for key in value.keys() - type_.keys())
        for key in type_.keys() & value.keys():
            yield from problems(value[key], type_[key], f"{where}.{key}")


def keys_of(type_: Any) -> set[str]:
    """Return every fixed key that *type_* describes, at any depth."""
    match type_:
        case Maybe():
            return keys_of(type_.type)
        case list():
            return keys_of(type_[0])
        case dict():
            inner = set().union(*(keys_of(item) for item in type_.values()))
            return inner | {key for key in type_ if isinstance(key, str)}
        case _ if type_ is LockdepReport:
            return keys_of(LOCKDEP).union(*(keys_of(one) for one in LOCKDEP_BY_KIND.values()))
        case _:
            return set()
