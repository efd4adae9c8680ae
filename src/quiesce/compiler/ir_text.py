# SPDX-License-Identifier: Apache-2.0
"""The intermediate representation as text, for digests, golden tests and for reading."""

from __future__ import annotations

from typing import assert_never

from quiesce.compiler.ir import (
    Await,
    Begin,
    Branch,
    Bump,
    Check,
    Choose,
    Code,
    End,
    Halt,
    Jump,
    LockEvent,
    Op,
    SetLocal,
    Store,
)


def dump(code: Code) -> str:
    """Return *code* as text, a line an operation, for golden tests and for reading."""
    lines = [f"{code.name}:"]
    for i, op in enumerate(code.ops):
        lines.append(f"{i:4d}  {_show(op):60s} ; {op.loc.line}")
    return "\n".join(lines) + "\n"


def _show(op: Op) -> str:
    match op:
        case SetLocal(slot=slot, value=value):
            return f"%{slot} = {value}"
        case Store(address=address, value=value, marked=marked):
            return f"store{'!' if marked else ''}{address} = {value}"
        case Bump(version=version):
            return f"bump {version}"
        case Await(condition=condition):
            return f"await {condition}"
        case Choose(slot=slot, options=options):
            return f"%{slot} = choose({', '.join(map(str, options))})"
        case Check(condition=condition, message=message):
            return f"check {condition} {message!r}"
        case Jump(target=target):
            return f"goto {target}"
        case Branch(condition=condition, target=target):
            return f"unless {condition} goto {target}"
        case Begin(label=label):
            return f"begin {label}"
        case LockEvent(action=action, lock=lock, read=read):
            return f"{action} {lock} read={read}"
        case End() | Halt():
            return type(op).__name__.lower()
        case _:
            assert_never(op)
