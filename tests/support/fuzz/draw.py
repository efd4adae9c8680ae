# SPDX-License-Identifier: Apache-2.0
"""Random protocols, as the text of a file.

A protocol is drawn from ingredients: two locks, one way of sleeping, a handful of variables, one to three
atomic methods; then threads whose statements use them, rightly and wrongly. Spaces stay small on purpose.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

from fuzz.ingredients import (
    AWAITED,
    CHANGES,
    CONDITIONS,
    HEAD,
    LOCKS,
    MARKED,
    PLAIN,
    PROPERTIES,
    READS,
    RISKY,
    SAFE,
    SPINS,
    TESTS,
    TRYLOCKS,
    VARIABLES,
)

_INDENT = "    "


def protocol(seed: int) -> str:
    """Return the text of protocol number *seed*."""
    return _Draw(random.Random(seed), seed).text()


def indented(lines: list[str]) -> list[str]:
    """Return *lines* one level deeper."""
    return [_INDENT + line for line in lines]


@dataclass
class _Draw:
    random: random.Random
    seed: int
    locks: list[str] = field(default_factory=list)
    sleeping: str = ""
    actions: int = 0
    fails: bool = False
    names: set[str] = field(default_factory=set)
    """The variables that this protocol prefers: few, so that its threads meet."""

    def text(self) -> str:
        """Return a complete file."""
        self.locks = [self.random.choice(LOCKS) for _ in range(2)]
        self.sleeping = self.random.choice(
            ["", "", "Completion", "WaitQueue", "RcuWait", "SeqCount"]
        )
        self.actions = self.random.randint(1, 3)
        self.fails = self.random.random() < 0.3
        self.names = {
            *self.random.sample(sorted(VARIABLES), 3),
            *self.random.sample(["ma", "mb", "a"], 1),
        }
        body = [f"{name} = {declaration}" for name, declaration in VARIABLES.items()]
        body += [f"l{i} = {name}()" for i, name in enumerate(self.locks)]
        if self.sleeping:
            body.append(f"wq = {self.sleeping}()")
        body.append("")
        for i in range(self.actions):
            body += self.action(i)
        body += self.threads()
        for kind in ("always", "sometimes", "eventually"):
            for i in range(
                self.random.choice([0, 1, 1, 2])
                if kind != "eventually"
                else self.random.choice([0, 1])
            ):
                decorator = f"@{kind}()" if kind == "eventually" else f"@{kind}"
                body += [decorator, f"def {kind}_{i}(self) -> bool:"]
                body += [f"{_INDENT}return {self.pick(PROPERTIES)}", ""]
        return HEAD.format(seed=self.seed) + "\n".join(indented(body)).rstrip() + "\n"

    def pick(self, options: list[str]) -> str:
        """Return one of *options* that needs no variable but those of this protocol."""
        fitting = [
            o
            for o in options
            if set(re.findall(r"(?:self|WRITE_ONCE\(self\))\.(\w+)", o)) <= self.names
        ]
        return self.random.choice(fitting or options)

    def chance(self, percent: int) -> bool:
        """Return True so often."""
        return self.random.randrange(100) < percent

    def action(self, number: int) -> list[str]:
        """Return an atomic method."""
        decorator = self.pick(["@atomic", "@atomic", "@atomic(queued=True)"])
        body = []
        if self.chance(30):
            body.append(f"wait_until({self.pick(CONDITIONS)})")
        for _ in range(self.random.randint(1, 2)):
            effect = self.pick(RISKY if self.fails and self.chance(50) else SAFE)
            if self.chance(30):
                body += [f"if {self.pick(CONDITIONS)}:", _INDENT + effect]
                if self.chance(30):
                    body += ["else:", _INDENT + self.pick(SAFE)]
            else:
                body.append(effect)
        body.append(f"return {self.pick(CONDITIONS)}")
        return [decorator, f"def act{number}(self) -> bool:", *indented(body), ""]

    def threads(self) -> list[str]:
        """Return the threads: two to four, some of them identical."""
        lines: list[str] = []
        shape = self.pick(["2", "2", "1 1", "1 1", "1 1", "2 1", "3", "1 1 1", "1"])
        for name, count in zip("uvw", shape.split(), strict=False):
            daemon = self.chance(15) and name != "u"
            options = ", ".join(
                ([f"count={count}"] if count != "1" else []) + ["daemon=True"] * daemon
            )
            lines += [f"@thread({options})", f"def {name}(self) -> None:"]
            lines += indented(
                [
                    "x = choose(0, 1)" if self.chance(20) else "x = READ_ONCE(self.a)",
                    *self.thread_body(),
                ]
            )
            lines.append("")
        if self.chance(40):
            lines += self.environment()
        return lines

    def environment(self) -> list[str]:
        """Return a thread that changes what others wait for, in time or not."""
        options = self.pick(["", "daemon=True"])
        changes = [self.pick(CHANGES) for _ in range(self.random.randint(1, 2))]
        around = self.pick(
            ["while True:", "while True:", "for _ in range(2):", "while not self.mb:"]
        )
        return [
            f"@thread({options})",
            "def environment(self) -> None:",
            *indented([around, *indented(changes)]),
            "",
        ]

    def thread_body(self) -> list[str]:
        """Return what a thread does; a loop around it all has something shared in it."""
        budget = self.random.randint(1, 3)
        body = self.block(budget, 2, False)
        match self.random.randrange(8):
            case 0 | 1:
                return ["while True:", *indented([self.act(), *body])]
            case 2:
                return ["while True:", *indented([self.act(), *self.block(budget, 2, True)])]
            case 3:
                return ["for _ in range(2):", *indented(body)]
            case 4:
                return [f"while {self.pick(SPINS)}:", *indented([*body, self.act()])]
        return body

    def act(self) -> str:
        """Return a call of an atomic method."""
        return f"self.act{self.random.randrange(self.actions)}()"

    def block(self, count: int, depth: int, loop: bool) -> list[str]:
        """Return *count* statements; *loop* says that they are in a loop that they may leave."""
        lines = []
        for _ in range(count):
            lines += self.statement(depth, loop)
        return lines

    def statement(self, depth: int, loop: bool) -> list[str]:
        """Return one statement, of one or more lines."""
        kinds = [self.simple, self.simple]
        if depth:
            kinds += [
                self.locked,
                self.locked,
                self.spinning,
                self.spinning,
                self.branching,
                self.looping,
            ]
            if self.sleeping:
                kinds += [self.asleep, self.asleep]
        if loop and self.chance(40):
            return [f"if {self.pick(TESTS)}:", _INDENT + self.pick(["break", "return", "continue"])]
        return self.random.choice(kinds)(depth, loop)

    def simple(self, depth: int, loop: bool) -> list[str]:
        """Return a statement of one line."""
        match self.random.randrange(12):
            case 0 | 1 | 2 | 3:
                return [self.act()]
            case 4 | 5 | 6:
                return [self.pick(MARKED)]
            case 7 | 8:
                return [self.pick(PLAIN)]
            case 9:
                return [f"wait_until(lambda: {self.pick(AWAITED)})"]
            case 10:
                return ["x = choose(0, 1)"]
        if self.fails:
            return [
                self.pick(
                    [
                        "assert x == 0",
                        "assert self.ma == 0",
                        "assert not self.mb",
                        "self.ma = x + 2",
                    ]
                )
            ]
        return ["x = 1 if x == 0 else 0"]

    def locked(self, depth: int, loop: bool) -> list[str]:
        """Return a critical section."""
        i = self.random.randrange(2)
        kind, body = self.locks[i], self.block(self.random.randint(1, 2), depth - 1, loop)
        if kind in READS and (kind == "Rcu" or self.chance(50)):
            begin, end = READS[kind]
            if kind == "Rcu" and self.chance(30):
                return [f"self.l{i}.synchronize_rcu()"]
            if self.chance(5):
                return [f"self.l{i}.{begin}()", *self.block(1, depth - 1, loop)]
            return [f"self.l{i}.{begin}()", *self.block(1, depth - 1, False), f"self.l{i}.{end}()"]
        if kind in TRYLOCKS and self.chance(25):
            section = self.block(1, depth - 1, False)
            return [f"if self.l{i}.trylock():", *indented([*section, f"self.l{i}.unlock()"])]
        if kind in ("Tas", "Ttas", "Plain") or self.chance(30):
            section = self.block(self.random.randint(1, 2), depth - 1, False)
            unlock = [f"self.l{i}.unlock()"] if not self.chance(5) else []
            return [f"self.l{i}.lock()", *section, *unlock]
        return [f"with self.l{i}:", *indented(body)]

    def spinning(self, depth: int, loop: bool) -> list[str]:
        """Return a loop that waits for something."""
        i = self.random.randrange(2)
        match self.random.randrange(6):
            case 0 | 1:
                inside = self.pick(["pass", "pass", self.act(), self.pick(MARKED)])
                test = self.pick(SPINS)
                return [
                    f"while {test}:",
                    *indented([inside, self.act()] if "choose" in test else [inside]),
                ]
            case 2:
                return [f"while {self.act()}:", _INDENT + self.pick(["pass", self.pick(MARKED)])]
            case 3 if self.locks[i] in TRYLOCKS:
                wait = self.pick(["pass", "pass", self.pick(MARKED), self.act()])
                section = self.block(1, depth - 1, False)
                return [
                    f"while not self.l{i}.trylock():",
                    _INDENT + wait,
                    *section,
                    f"self.l{i}.unlock()",
                ]
            case 4 if self.locks[1 - i] in TRYLOCKS and self.locks[i] != "Rcu":
                first, second = f"self.l{i}", f"self.l{1 - i}"
                return [
                    "while True:", f"    {first}.lock()", f"    if {second}.trylock():", "        break",
                    f"    {first}.unlock()", *self.block(1, 0, False),
                    f"{second}.unlock()", f"{first}.unlock()",
                ]  # fmt: skip
            case 5:
                # Polite: each steps back while the other wants to go.
                return [
                    "self.mb = True", "while self.ma == 1:", "    self.mb = False", "    self.mb = True",
                    *self.block(1, 0, False), "self.mb = False",
                ] if self.chance(50) else [
                    "self.ma = 1", "while self.mb:", "    self.ma = 0", "    self.ma = 1",
                    *self.block(1, 0, False), "self.ma = 0",
                ]  # fmt: skip
        return [f"while {self.pick(SPINS[:5])}:", "    pass"]

    def branching(self, depth: int, loop: bool) -> list[str]:
        """Return ``if``."""
        test = self.pick([*TESTS, self.act(), self.act()])
        lines = [f"if {test}:", *indented(self.block(self.random.randint(1, 2), depth - 1, loop))]
        if self.chance(40):
            lines += ["else:", *indented(self.block(1, depth - 1, loop))]
        return lines

    def looping(self, depth: int, loop: bool) -> list[str]:
        """Return a loop that does something."""
        body = self.block(self.random.randint(1, 2), depth - 1, True)
        match self.random.randrange(4):
            case 0:
                return ["for i in range(2):", *indented(body)]
            case 1:
                return [
                    "while True:",
                    *indented([self.act(), *body, f"if {self.pick(TESTS)}:", "    break"]),
                ]
            case 2:
                return ["i = 0", "while i < 2:", *indented(["i += 1", *body])]
        return [f"while {self.pick(SPINS)}:", *indented([self.act(), *body])]

    def asleep(self, depth: int, loop: bool) -> list[str]:
        """Return one side of a sleep."""
        condition = self.pick(["not self.mb", "self.ma == 0", "not READ_ONCE(self.b)"])
        done = {"not self.mb": "self.mb = True", "self.ma == 0": "self.ma = 1"}
        makes_true = done.get(condition, "WRITE_ONCE(self).b = True")
        wake = self.chance(45)
        if self.sleeping == "Completion":
            return (
                [f"self.wq.{self.pick(['complete', 'complete_all'])}()"]
                if wake
                else ["self.wq.wait_for_completion()"]
            )
        if self.sleeping == "SeqCount":
            if wake:
                return ["with self.wq:", *indented(self.block(1, depth - 1, False))]
            read = self.pick(["x = self.ma", "x = READ_ONCE(self.a)"])
            return [
                "while True:", "    seq = self.wq.read_seqcount_begin()", _INDENT + read,
                "    if not self.wq.read_seqcount_retry(seq):", "        break",
            ]  # fmt: skip
        if wake:
            call = "self.wq.wake_up_all()" if self.sleeping == "WaitQueue" else "self.wq.wake_up()"
            lines = [makes_true, call]
            return lines[:: self.random.choice([1, 1, 1, -1])]
        if self.sleeping == "WaitQueue":
            lines = ["self.wq.prepare_to_wait()", f"while {condition}:", "    self.wq.schedule()",
                     "    self.wq.prepare_to_wait()", "self.wq.finish_wait()"]  # fmt: skip
            if self.chance(30):
                lines = [
                    f"while {condition}:",
                    "    self.wq.prepare_to_wait()",
                    "    self.wq.schedule()",
                ]
            return lines
        announce = "set_current_state(TASK_UNINTERRUPTIBLE)"
        lines = ["self.wq.prepare_to_rcuwait()", announce, f"while {condition}:", "    schedule()",
                 f"    {announce}", "self.wq.finish_rcuwait()"]  # fmt: skip
        if self.chance(30):
            lines = ["self.wq.prepare_to_rcuwait()", f"while {condition}:", f"    {announce}",
                     "    schedule()", "self.wq.finish_rcuwait()"]  # fmt: skip
        return lines
