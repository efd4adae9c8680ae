# SPDX-License-Identifier: Apache-2.0
"""Random protocols of identical threads that go on forever, for what is decided on representatives.

All that threads share is changed in atomic steps, so there is no race. Threads wait in steps with and
without a queue, take locks, spin, choose, name each other, and are told apart by nothing.
"""

from __future__ import annotations

import random

_HEAD = """
from quiesce.primitives import RwSem, SpinLock
from quiesce.protocol import *


class Generated(Scenario):
    lock = SpinLock()
    sem = RwSem()
    place = Int(0, high=2)
    flag = Bool()
    owner = TaskRef()
    members = TaskSet()
    mine = PerTask(Int(0, high=2))
    friend = PerTask(TaskRef())
"""

_CONDITIONS = [
    "self.place == 0", "self.place != 1", "self.place == 2", "self.flag", "not self.flag",
    "self.owner is None", "self.owner is current()", "self.owner is not current()",
    "current() in self.members", "current() not in self.members", "len(self.members) < 2",
    "self.mine[current()] == 0", "self.mine[current()] == self.place", "self.mine[current()] != 2",
    "self.friend[current()] is None", "self.friend[current()] is self.owner",
    "self.owner is not None and self.mine[self.owner] == 0",
    "self.friend[current()] is not None and self.mine[self.friend[current()]] == 1",
]  # fmt: skip

_EFFECTS = [
    "self.place = (self.place + 1) % 3", "self.place = 0", "self.place = choose(0, 1)",
    "self.flag = not self.flag", "self.flag = True", "self.flag = choose(True, False)",
    "self.owner = current()", "self.owner = None", "self.owner = self.friend[current()]",
    "self.members.add(current())", "self.members.discard(current())", "self.members.clear()",
    "self.mine[current()] = (self.mine[current()] + 1) % 3", "self.mine[current()] = self.place",
    "self.friend[current()] = self.owner", "self.friend[current()] = None",
]  # fmt: skip

_AGAIN = [
    "self.place == 0", "self.flag", "self.owner is None", "len(self.members) < 2",
    "self.place != 2 or self.flag", "len(self.members) == 0",
]  # fmt: skip


def symmetric_source(seed: int) -> str:
    """Return the source of a module with one scenario, ``Generated``."""
    rng = random.Random(seed)
    lines = [_HEAD]
    actions = rng.randint(2, 4)
    conditions = rng.sample(_CONDITIONS, rng.randint(3, 8))
    effects = rng.sample(_EFFECTS, rng.randint(3, 8))
    for number in range(actions):
        lines += _action(rng, number, conditions, effects)
    lines += [
        "    @atomic", "    def spin(self) -> bool:", f"        if {rng.choice(conditions)}:",
        f"            {rng.choice(effects)}", "            return True", "        return False", "",
    ]  # fmt: skip
    count = rng.choice([2, 2, 3, 3, 4])
    daemon = rng.choice(["", "", "", ", daemon=True"])
    lines += _thread(rng, "many", f"count={count}{daemon}", actions)
    other = rng.randint(0, 3)
    if other == 1:
        lines += _thread(rng, "single", rng.choice(["", "daemon=True"]), actions)
    elif other == 2 and count < 4:
        lines += _thread(rng, "pair", "count=2", actions)
    for number in range(rng.randint(0, 2)):
        lines += ["    @eventually()", f"    def again{number}(self) -> bool:"]
        lines += [f"        return {rng.choice(_AGAIN)}", ""]
    return "\n".join(lines) + "\n"


def _action(
    rng: random.Random, number: int, conditions: list[str], effects: list[str]
) -> list[str]:
    lines = [f"    @atomic(queued={rng.random() < 0.5})", f"    def act{number}(self) -> bool:"]
    if rng.random() < 0.7:
        lines.append(f"        wait_until({rng.choice(conditions)})")
    for _ in range(rng.randint(1, 2)):
        effect = rng.choice(effects)
        if rng.random() < 0.3:
            lines.append(f"        if {rng.choice(conditions)}:")
            lines.append(f"            {effect}")
        else:
            lines.append(f"        {effect}")
    return [*lines, f"        return {rng.choice(conditions)}", ""]


def _thread(rng: random.Random, name: str, options: str, actions: int) -> list[str]:
    lines = [f"    @thread({options})", f"    def {name}(self) -> None:"]
    indent = "        "
    if rng.random() < 0.85:
        lines.append(indent + "while True:")
        indent += "    "
        lines.append(f"{indent}self.act0()")
    for _ in range(rng.randint(1, 3)):
        lines += [indent + line for line in _statement(rng, actions)]
    return [*lines, ""]


def _statement(rng: random.Random, actions: int) -> list[str]:
    act = f"self.act{rng.randrange(actions)}()"
    match rng.randint(0, 7):
        case 0 | 1:
            return [act]
        case 2:
            return [f"if {act}:", f"    self.act{rng.randrange(actions)}()"]
        case 3:
            return ["with self.lock:", f"    {act}"]
        case 4:
            return ["self.sem.down_read()", act, "self.sem.up_read()"]
        case 5:
            return ["while not self.spin():", "    pass", act]
        case 6:
            return ["while choose(True, False):", f"    {act}"]
    return [f"while {act}:", f"    self.act{rng.randrange(actions)}()"]
