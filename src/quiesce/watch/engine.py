# SPDX-License-Identifier: Apache-2.0
"""What all watched locks share: the kernel's validator, and which orders it has seen.

A thread never waits for another one here. What is new is put into a queue; the thread that finds the
engine idle examines the queue, for all threads. So a finaliser that the garbage collector runs in the
middle of it, a signal handler, or a stream that takes locks to write a report cannot deadlock with it.
"""

from __future__ import annotations

import _thread
import os
import threading
from collections import deque
from collections.abc import Callable, Hashable
from pathlib import Path
from types import FrameType
from typing import Any

from quiesce.lockdep.classes import LockdepMap
from quiesce.lockdep.closure import record
from quiesce.lockdep.frames import Frame
from quiesce.lockdep.reports import CircularReport, Report
from quiesce.lockdep.search import EN
from quiesce.lockdep.validator import Validator
from quiesce.watch import endings, findings
from quiesce.watch.classes import (
    NOTHING_KNOWN,
    TRIED,
    ClassCycle,
    ClassEdge,
    HeldNow,
    Took,
    WatchClass,
    Witness,
    place,
    stack_of,
)
from quiesce.watch.contexts import ContextRules
from quiesce.watch.findings import WatchFinding
from quiesce.watch.signals import PENDING, deliver
from quiesce.watch.sites import Site, creation_site
from quiesce.watch.thread_state import NORMAL, ThreadState

_OURS = (str(Path(__file__).parents[1]) + os.sep, threading.__file__)
_SHOWN = 20
"""Held locks that the validator is told of. The kernel's limit of 48 is not ours."""


class Engine:
    """The orders of all watched locks of a process.

    :ivar active: False once the last watch has ended.
    :ivar publish: called with each new finding, by a thread that may hold locks of the program.
    :ivar test: the test that runs now. A cycle is reported again in a test that runs into it elsewhere.
    :ivar lost: how often examining an event failed, for want of stack or memory.
    """

    def __init__(self, publish: Callable[[WatchFinding], None]) -> None:
        self.active = True
        self.publish = publish
        self.lost = 0
        self.validator = Validator()
        self.classes: list[WatchClass] = []
        self._by_key: dict[Hashable, WatchClass] = {}
        self._by_name: dict[str, WatchClass] = {}
        self._queue: deque[Callable[[], None]] = deque()
        self._idle = _thread.allocate_lock()
        self._verdict = -1
        self._gated: list[ClassCycle] = []
        self.test = ""
        self.contexts = ContextRules(self)

    # Classes.

    def class_of(self, frame: FrameType) -> WatchClass | None:
        """Return the class of the lock that *frame* makes; None if the lock is not to be watched."""
        try:
            site = creation_site(frame)
            return None if site is None else self.class_at(site)
        except Exception:
            # Too little stack or memory: the program gets an ordinary lock.
            self.lost += 1
            return None

    def class_at(self, site: Site) -> WatchClass:
        """Return the class of *site*."""
        cls = self._by_key.get(site.key)
        if cls is None:
            address = self.validator.new_address()
            made = WatchClass(self, site.key, site.name, site.made_at, address)
            cls = self._by_key.setdefault(site.key, made)
            if cls is made:
                self.validator.set_lock_cmp_fn(cls.map, lambda _held, _wanted: self._verdict)
                known = self.validator.class_of(cls.map)
                self._by_name[known.short_name] = cls
                self.classes.append(cls)
        return cls

    # Events.

    def note(self, state: ThreadState, lock: Any, frame: FrameType, waits: bool) -> None:
        """A thread is about to acquire *lock*, in a way that may tell something new.

        :param waits: the thread waits as long as it takes.
        """
        if state.busy or not self.active:
            return
        state.busy = True
        try:
            self._note(state, lock, frame, waits)
            self._examine()
        except Exception:
            # Too little stack or memory: this event is not examined, and the program goes on.
            self.lost += 1
        finally:
            state.busy = False
        if PENDING:
            deliver(frame)

    def _note(self, state: ThreadState, lock: Any, frame: FrameType, waits: bool) -> None:
        cls = lock.cls
        if not state.linked:
            state.link()
        if cls not in state.took and state.context is NORMAL:
            took = Took(lock.me, (frame.f_code, frame.f_lasti), state.name)
            for jobs in (state.took, *state.took_outer):
                jobs.setdefault(cls, took)
        if cls.handed_over:
            return
        if waits:
            endings.blocked(state, lock, frame)
        if state.context is not NORMAL or lock.known is NOTHING_KNOWN:
            self.contexts.acquired(state, lock, frame, waits)
        elif not state.held:
            cls.known.add(NORMAL)
        again = lock.holder is state and any(one is lock for one in state.held)
        if waits and state.held and not again:
            self._note_orders(state, lock, frame)

    def _note_orders(self, state: ThreadState, lock: Any, frame: FrameType) -> None:
        """Find the held locks that tell a new order. A lock that was waited for stands for those below."""
        if self._news(state, lock, frame):
            # Locks that the program has lost while it held them tell no order.
            state.prune()
            news = self._news(state, lock, frame)
            if news:
                self._queue.append(self._new_orders(state, news, lock, frame))

    def _news(self, state: ThreadState, lock: Any, frame: FrameType) -> list[Any]:
        cls = lock.cls
        news: list[Any] = []
        for prev in reversed(state.held):
            if prev.cls.engine is not self or prev.cls.handed_over or prev.code is None:
                continue
            if prev.cls is cls:
                if prev.later is None or lock.me not in prev.later:
                    self._note_objects(state, prev, lock, frame)
            else:
                edge = prev.cls.after.get(cls)
                if edge is None or (edge.gates and not edge.gates <= _gates(state, prev, lock)):
                    news.append(prev)
                elif edge.cycle is not None:
                    at = (prev.code, prev.lasti, frame.f_code, frame.f_lasti)
                    if at not in edge.places:
                        news.append(prev)
            if prev.key is not TRIED:
                break
        return news

    def _note_objects(self, state: ThreadState, prev: Any, lock: Any, frame: FrameType) -> None:
        # Most of these are harmless, so the places are looked up only when they are printed.
        at = (prev.code, prev.lasti), (frame.f_code, frame.f_lasti)
        now = (state.name, *at, prev.serial, lock.serial)
        self._queue.append(lambda: self._examine_objects(prev, lock, now))

    def _new_orders(
        self, state: ThreadState, news: list[Any], lock: Any, frame: FrameType
    ) -> Callable[[], None]:
        """Return what will examine that *lock* is acquired with *news* held, as things are now."""
        stack = stack_of(frame, _OURS)
        wanted_at = place(frame.f_code, frame.f_lasti)
        orders = []
        for prev in news:
            held_at = place(prev.code, prev.lasti)
            edge = prev.cls.after.get(lock.cls)
            if edge is not None:
                edge.places.add((prev.code, prev.lasti, frame.f_code, frame.f_lasti))
            witness = Witness(state.name, held_at, wanted_at, stack, prev.serial, lock.serial)
            orders.append((prev.cls, witness, _gates(state, prev, lock)))
        held = [_as_now(one) for one in state.held[-_SHOWN:] if one.code is not None]
        thread = state.name, state.native_id
        return lambda: self._examine_orders(lock.cls, orders, held, thread)

    def _examine(self) -> None:
        """Work through the queue, unless another thread does."""
        while self._queue and self._idle.acquire(False):
            try:
                while self._queue:
                    self._queue.popleft()()
            finally:
                self._idle.release()

    # Examining: by one thread at a time.

    def _examine_objects(self, prev: Any, lock: Any, now: Any) -> None:
        cls = prev.cls
        earlier = cls.instances.add(prev, lock, now)
        if earlier is None or "objects" in cls.reported:
            return
        cls.reported.add("objects")
        first, second = _witness(earlier), _witness(now)
        held = [HeldNow(cls, prev.serial, True, now[1][0], now[1][1])]
        report = self._validate(cls, held, (second.thread, 0), (second.wanted_at,), verdict=1)
        self.publish(findings.objects_turn(cls, first, second, report))

    def _examine_orders(
        self,
        cls: WatchClass,
        orders: list[tuple[WatchClass, Witness, frozenset[int]]],
        held: list[HeldNow],
        thread: tuple[str, int],
    ) -> None:
        new = False
        for prev, witness, gates in orders:
            edge = prev.after.get(cls)
            if edge is None:
                prev.after[cls] = ClassEdge(witness, gates)
                new = True
            elif edge.gates - gates:
                edge.gates &= gates
                self._tell_ungated()
            elif edge.cycle is not None:
                self._tell_cycle(edge.cycle, {id(edge): witness})
        if new:
            report = self._validate(cls, held, thread, orders[0][1].stack, verdict=-1)
            if isinstance(report, CircularReport):
                self._found_cycle(report)
        for prev, _, _ in orders:
            edge = prev.after[cls]
            if not edge.gates and edge.cycle is None:
                cls.known.add(prev)

    def _validate(
        self, cls: WatchClass, held: list[HeldNow], thread: tuple[str, int], stack: tuple[Frame, ...],
        verdict: int,
    ) -> Report | None:  # fmt: skip
        """Tell the validator that a thread acquires a lock of *cls*; return what it says."""
        validator = self.validator
        self._verdict = verdict
        holds = [(one.cls.map, not one.waited, (one.at,)) for one in held]
        report = validator.acquire(validator.passing_task(*thread, holds), cls.map, stack=stack)
        if report is not None:
            validator.resume()
            target = validator.class_of(cls.map)
            for one in reversed(held):
                source = validator.class_of(one.cls.map)
                if source is not target and target not in source.after:
                    record(source, target, EN, stack, linux=True)
                if one.waited:
                    break
        return report

    def _found_cycle(self, report: CircularReport) -> None:
        chain = [self._by_name[link.cls.name] for link in report.chain]
        # The chain leads from the class held back to the one acquired; the edges lead the other way.
        pairs = [(chain[i], chain[i - 1]) for i in range(len(chain) - 1, 0, -1)]
        pairs.append((chain[0], chain[-1]))
        edges = [held.after.get(wanted) for held, wanted in pairs]
        seen = [edge for edge in edges if edge is not None]
        if len(seen) < len(pairs):
            return
        path = [(*pair, edge) for pair, edge in zip(pairs, seen, strict=True)]
        self._gated.append(ClassCycle(path, report))
        self._tell_ungated()

    def _tell_ungated(self) -> None:
        """Report each cycle found that no lock guards: a lock that all its sides hold."""
        waiting = []
        for cycle in self._gated:
            if frozenset.intersection(*(edge.gates for _, _, edge in cycle.path)):
                waiting.append(cycle)
                continue
            for held, wanted, edge in cycle.path:
                edge.cycle = edge.cycle or cycle
                wanted.known.discard(held)
            self._tell_cycle(cycle, {})
        self._gated = waiting

    def _tell_cycle(self, cycle: ClassCycle, instead: dict[int, Witness]) -> None:
        """Report *cycle*, once in each test.

        :param instead: by id of an edge, how it was seen just now.
        """
        if self.test in cycle.told_in:
            return
        cycle.told_in.add(self.test)
        sides = [(a, b, instead.get(id(edge), edge.witness)) for a, b, edge in cycle.path]
        turned = sides[1:] + sides[:1]
        same = all(a[2].wanted == b[2].held for a, b in zip(sides, turned, strict=True))
        self.publish(findings.cycle(sides, cycle.report, same_objects=same))

    def tell_self_deadlock(self, state: ThreadState, lock: Any, frame: FrameType) -> None:
        """Report that a thread waits for a lock that it holds itself."""
        cls = lock.cls
        if state.busy or not self.active or "self" in cls.reported:
            return
        cls.reported.add("self")
        now = place(frame.f_code, frame.f_lasti)
        stack = stack_of(frame, _OURS)
        held_at = place(lock.code, lock.lasti)

        def examine() -> None:
            thread = state.name, state.native_id
            report = self._validate(cls, [_as_now(lock)], thread, stack, verdict=0)
            self.publish(findings.self_deadlock(cls, state.name, held_at, now, report))

        self.run(state, examine)

    def enroll(self, lock: LockdepMap, name: str, made_at: Frame) -> None:
        """Give *lock*, which is a lock_map and not a lock of the program, a class of its own."""
        self.validator.set_lock_cmp_fn(lock, lambda _held, _wanted: -1)
        known = self.validator.class_of(lock)
        address = lock.address
        self._by_name[known.short_name] = WatchClass(self, lock.key, name, made_at, address)

    def enqueue(self, work: Callable[[], None]) -> None:
        """Queue *work*, which needs the validator for itself; the event that goes on examines it."""
        self._queue.append(work)

    def run(self, state: ThreadState, work: Callable[[], None]) -> None:
        """Queue *work*, which needs the validator for itself, and work through the queue."""
        self._queue.append(work)
        was, state.busy = state.busy, True
        try:
            self._examine()
        except Exception:
            self.lost += 1
        finally:
            state.busy = was

    def after_fork_in_child(self) -> None:
        """The thread that was examining, if any, does not exist here."""
        self._idle = _thread.allocate_lock()
        self._queue.clear()


def _as_now(lock: Any) -> HeldNow:
    return HeldNow(lock.cls, lock.serial, lock.key is not TRIED, lock.code, lock.lasti)


def _gates(state: ThreadState, prev: Any, lock: Any) -> frozenset[int]:
    """Return the serial numbers of the other locks that the thread holds."""
    engine = lock.cls.engine
    return frozenset(
        one.serial
        for one in state.held
        if one is not prev and one is not lock and one.cls.engine is engine
    )


def _witness(now: Any) -> Witness:
    thread, held_at, wanted_at, held, wanted = now
    at = place(*wanted_at)
    return Witness(thread, place(*held_at), at, (at,), held, wanted)
