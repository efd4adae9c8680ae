# SPDX-License-Identifier: Apache-2.0
"""Random protocols, as source text: what the native explorer is compared with the reference on."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path

from hypothesis import strategies as st

from quiesce.protocol import Scenario

_HEAD = """
from quiesce.primitives import RwSem, SpinLock
from quiesce.protocol import *


class Generated(Scenario):
    lock = SpinLock()
    sem = RwSem()
    a = Int(0, low=-1, high=3)
    b = Bool(False)
    owner = TaskRef()
    other = TaskRef(marked=True)
    members = TaskSet()
    flags = Set(2)
    mine = PerTask(Int(0, high=2))
    friend = PerTask(TaskRef())
    items = Array(Int(1, low=1, high=3), 2)
    seq = Version()
    look = Snapshot()
"""

_CONDITIONS = [
    "self.a > 0", "self.a == 2", "self.b", "not self.b", "self.owner is None",
    "self.owner is current()", "self.owner is not current()", "current() in self.members",
    "len(self.members) < 2", "self.mine[current()] == 0", "self.mine[current()] > self.a",
    "1 in self.flags", "self.items[0] == self.items[1]", "self.friend[current()] is None",
    "self.friend[current()] is self.owner", "self.a + self.items[1] > 2 or self.b",
    "self.owner is None and self.a != 1", "self.look == self.seq",
    "self.owner is not None and self.mine[self.owner] == 0",
]  # fmt: skip

_EFFECTS = [
    "self.a += 1", "self.a -= 1", "self.a = (self.a + 2) % 3", "self.a = choose(0, 2)",
    "self.b = not self.b", "self.b = self.a > 1", "self.owner = current()", "self.owner = None",
    "self.members.add(current())", "self.members.discard(current())", "self.members.clear()",
    "self.flags.add(1)", "self.flags.discard(1)", "self.mine[current()] = 1",
    "self.mine[current()] = 2 - self.mine[current()]", "self.friend[current()] = self.owner",
    "self.friend[current()] = None", "self.items[0] = choose(1, 2, 3)",
    "self.items[1] = self.items[0]", "self.items[self.mine[current()]] = 2", "self.seq += 1",
    "self.look = self.seq", "self.owner = self.friend[current()]",
    "assert self.a < 3, 'too many'", "self.a = self.items[1] // (self.a + 1)",
]  # fmt: skip

_MARKED = [
    "WRITE_ONCE(self).a = 1", "WRITE_ONCE(self).b = True", "x = READ_ONCE(self.a)",
    "x = READ_ONCE(self.items[0])", "t = self.other", "self.other = current()",
    "WRITE_ONCE(self).a = x % 3",
]  # fmt: skip

_PLAIN = ["self.b = True", "self.a = 0", "self.items[0] = 2", "self.mine[current()] = 0"]

_PROPERTIES = [
    "self.a < 3", "len(self.members) < 2", "not (self.b and self.a == 2)", "self.owner is None",
    "self.items[0] != 3 or not self.b", "self.a != -1",
]  # fmt: skip

_numbers = itertools.count()


@st.composite
def protocol_sources(draw: st.DrawFn) -> str:
    """Draw the source of a module with one scenario, ``Generated``."""
    lines = [_HEAD]
    actions = draw(st.integers(2, 4))
    for i in range(actions):
        lines += _action(draw, i)
    lines += _spin(draw, _CONDITIONS, _EFFECTS)
    count = draw(st.integers(2, 3))
    lines += _thread(draw, "many", f"count={count}", actions)
    if draw(st.booleans()):
        lines += _thread(draw, "single", draw(st.sampled_from(["", "daemon=True"])), actions)
    lines += ["    @always", "    def fine(self) -> bool:"]
    lines += [f"        return {draw(st.sampled_from(_PROPERTIES))}", ""]
    lines += ["    @sometimes", "    def reached(self) -> bool:"]
    lines += [f"        return {draw(st.sampled_from(_PROPERTIES))}", ""]
    if draw(st.booleans()):
        lines += ["    @eventually()", "    def again(self) -> bool:"]
        lines += [f"        return {draw(st.sampled_from(_PROPERTIES))}", ""]
    return "\n".join(lines) + "\n"


def _action(draw: st.DrawFn, number: int) -> list[str]:
    queued = draw(st.booleans())
    lines = [f"    @atomic(queued={queued})", f"    def act{number}(self) -> bool:"]
    if draw(st.booleans()):
        lines.append(f"        wait_until({draw(st.sampled_from(_CONDITIONS))})")
    for _ in range(draw(st.integers(1, 2))):
        effect = draw(st.sampled_from(_EFFECTS))
        if draw(st.integers(0, 3)) == 0:
            lines.append(f"        if {draw(st.sampled_from(_CONDITIONS))}:")
            lines.append(f"            {effect}")
        else:
            lines.append(f"        {effect}")
    lines.append(f"        return {draw(st.sampled_from(_CONDITIONS))}")
    return [*lines, ""]


def _thread(draw: st.DrawFn, name: str, options: str, actions: int) -> list[str]:
    lines = [f"    @thread({options})", f"    def {name}(self) -> None:", "        x = 0"]
    lines.append("        t = current()")
    loop = draw(st.sampled_from(["", "while True:", "for _ in range(2):"]))
    indent = "        "
    if loop:
        lines.append(indent + loop)
        indent += "    "
        # Something that others can see, so that the loop is not one endless step.
        lines.append(f"{indent}self.act0()")
    for _ in range(draw(st.integers(1, 3))):
        lines += [indent + line for line in _statement(draw, actions)]
    return [*lines, ""]


def _statement(draw: st.DrawFn, actions: int) -> list[str]:
    act = f"self.act{draw(st.integers(0, actions - 1))}()"
    match draw(st.integers(0, 8)):
        case 0 | 1:
            return [act]
        case 7:
            return _locked(draw, [act])
        case 8:
            return _looping(draw, act)
        case 2:
            return [f"if {act}:", f"    self.act{draw(st.integers(0, actions - 1))}()"]
        case 3:
            return [f"if {act}:", "    x = choose(0, 1)"]
        case 4:
            return [draw(st.sampled_from(_MARKED))]
        case 5:
            return [draw(st.sampled_from(_PLAIN))]
    return ["if x == 1 and t is not None:", f"    {act}"]


def _spin(draw: st.DrawFn, conditions: list[str], effects: list[str]) -> list[str]:
    """Draw the condition of a loop without a body: it succeeds, or changes nothing."""
    return [
        "    @atomic", "    def spin(self) -> bool:",
        f"        if {draw(st.sampled_from(conditions))}:",
        f"            {draw(st.sampled_from(effects))}",
        "            return True", "        return False", "",
    ]  # fmt: skip


def _locked(draw: st.DrawFn, body: list[str]) -> list[str]:
    """Draw a critical section of a spinlock, or of a semaphore for reading or writing."""
    match draw(st.integers(0, 2)):
        case 0:
            return ["with self.lock:", *(f"    {line}" for line in body)]
        case 1:
            return ["self.sem.down_read()", *body, "self.sem.up_read()"]
    return ["self.sem.down_write()", *body, "self.sem.up_write()"]


def _looping(draw: st.DrawFn, act: str) -> list[str]:
    """Draw a loop that stays as long as it likes, or spins until it may leave."""
    if draw(st.booleans()):
        return ["while choose(True, False):", f"    {act}"]
    # Between two times that it spins the thread is elsewhere.
    return ["while not self.spin():", "    pass", act]


_FAIR_HEAD = """
from quiesce.primitives import RwSem, SpinLock
from quiesce.protocol import *


class Generated(Scenario):
    lock = SpinLock()
    sem = RwSem()
    place = Int(0, high=2)
    flag = Bool()
"""

_FAIR_CONDITIONS = [
    "self.place == 0", "self.place != 1", "self.place == 2", "self.flag", "not self.flag",
    "self.place < 2 and self.flag",
]  # fmt: skip

_FAIR_EFFECTS = [
    "self.place = (self.place + 1) % 3", "self.place = choose(0, 1, 2)", "self.place = choose(0, 1)",
    "self.place = 0", "self.flag = not self.flag", "self.flag = choose(True, False)",
    "self.flag = self.flag",
]  # fmt: skip


@st.composite
def fair_sources(draw: st.DrawFn) -> str:
    """Draw the source of a small protocol that is about waiting, spinning and going on forever."""
    lines = [_FAIR_HEAD]
    for number in range(3):
        lines += [
            f"    @atomic(queued={draw(st.booleans())})",
            f"    def act{number}(self) -> None:",
        ]
        if draw(st.booleans()):
            lines.append(f"        wait_until({draw(st.sampled_from(_FAIR_CONDITIONS))})")
        lines += [f"        {draw(st.sampled_from(_FAIR_EFFECTS))}", ""]
    lines += _spin(draw, _FAIR_CONDITIONS, _FAIR_EFFECTS)
    lines += _fair_thread(draw, "many", f"count={draw(st.integers(1, 2))}")
    lines += _fair_thread(draw, "other", draw(st.sampled_from(["", "", "daemon=True"])))
    for kind in draw(st.sampled_from([[], ["eventually()"]])):
        lines += [f"    @{kind}", "    def again(self) -> bool:"]
        lines += [f"        return {draw(st.sampled_from(_FAIR_CONDITIONS))}", ""]
    return "\n".join(lines) + "\n"


def _fair_thread(draw: st.DrawFn, name: str, options: str) -> list[str]:
    lines = [f"    @thread({options})", f"    def {name}(self) -> None:"]
    indent = "        "
    if draw(st.booleans()):
        lines.append(f"{indent}while True:")
        indent += "    "
    for _ in range(draw(st.integers(1, 2))):
        act = f"self.act{draw(st.integers(0, 2))}()"
        match draw(st.integers(0, 3)):
            case 0:
                body = [act]
            case 1:
                body = _looping(draw, act)
            case 2:
                body = _locked(draw, [act])
            case _:
                body = _locked(draw, _looping(draw, act))
        lines += [indent + line for line in body]
    return [*lines, ""]


def build(source: str, folder: Path) -> Scenario:
    """Import *source* and return its scenario."""
    name = f"generated_{next(_numbers)}"
    path = folder / f"{name}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        scenario: Scenario = module.Generated()
    finally:
        del sys.modules[name]
    return scenario
