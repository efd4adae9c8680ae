# SPDX-License-Identifier: Apache-2.0
"""One thread of the scenario: executes the protocol actions of ``quiesce.protocol`` for real.

A step is tried under the scenario's lock. If it must wait (``NotYet``) nothing has happened, by the
rule that an atomic method waits before it writes, and it is tried again later. Locks that it
acquires or releases count only once it is complete.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from types import FrameType
from typing import Any, TypeAlias, TypeVar

from quiesce.properties import FindingKind
from quiesce.protocol import Mode, Protocol, Scenario, Task
from quiesce.protocol.actions import NotYet, install_runner
from quiesce.protocol.arrays import ArrayValue
from quiesce.protocol.declarations import RangeViolation
from quiesce.protocol.scenario import ThreadSpec
from quiesce.threads import place
from quiesce.threads.choices import Choices
from quiesce.threads.holding import Hold, Want
from quiesce.threads.place import Place
from quiesce.threads.result import RunFinding, SourceSite
from quiesce.threads.world import RECHECK, Stop, Wait, World

R = TypeVar("R")
TraceFunction: TypeAlias = Callable[[FrameType, str, Any], Any]

YIELD_SHORT = 1 / 16
"""How often a thread offers the processor to the others before a protocol action."""

YIELD_LONG = 1 / 512
"""How often it sleeps there, for long enough that the others run into what it holds."""

NAP = 100e-6

SLOW_MOTION = 1 / 8
"""How often the plain statements after a protocol action run in slow motion."""

MAX_CREDIT = 8
"""Up to how many points a thread may pass when the world is to stop (exclusive), in slow motion."""

SLOW_YIELD = 1 / 4
"""How often a thread in slow motion offers the processor to the others in a store."""

_STORES = {Protocol.__setattr__.__code__, ArrayValue.__setitem__.__code__}


@dataclass(frozen=True)
class _LockNotice:
    lock: Protocol
    mode: Mode | None
    """None: it is released."""
    trylock: bool


class ThreadRunner:
    """Runs one thread, and is its ``quiesce.protocol.actions.Runner``.

    :param seed: decides the thread's choices and where it yields.
    """

    def __init__(
        self, world: World[ThreadRunner], scenario: Scenario, spec: ThreadSpec, seed: str
    ) -> None:
        self.world = world
        self.spec = spec
        self.parked = False
        self.finished = False
        self.returned = False
        self.wait: Wait | None = None
        self.looked_at = -1
        """``world.changes`` at the time of the last failed try."""
        self.steps = 0
        self._random = Random(f"{seed} choices")
        self._yield_random = Random(f"{seed} yields").random
        self._choices = Choices(self._random)
        self._events: list[_LockNotice] = []
        self._pending: Callable[[], Any] = lambda: None
        """The body of the step that it is in, or waits for."""
        self._outcome: Callable[[], Any] | None = None
        """What that step came to, if another thread has taken it."""
        self._in_step = False
        self._look = 0
        self._credit = 0
        self._slow = False
        self._trace_before: Any = None
        self.thread = threading.Thread(
            target=self._run, args=(scenario,), name=f"quiesce {spec.name}", daemon=True
        )

    # What the protocol calls: the Runner interface.

    def atomically(self, body: Callable[[], R], label: str, queued: bool) -> R:
        """Run *body* as one step, once it can be taken."""
        if self._in_step:
            return body()
        self._arrive()
        with self.world.lock:
            result = self._step(body, label, queued)
        self._leave()
        return result

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait, as a step of its own, until *condition* is true."""

        def body() -> None:
            if not condition():
                raise NotYet

        self.atomically(body, "wait_until", False)

    def choose(self, options: tuple[Any, ...]) -> Any:
        """Decide for the environment."""
        if self._in_step:
            return self._choices.pick(options)
        return self._random.choice(options)

    def current(self) -> Task:
        """Return the thread's task."""
        return self.spec.task

    def marked_access(self) -> None:
        """Stand before a marked access, which is a step of its own."""
        if self._in_step:
            return
        self._arrive()
        self._pass_gate()
        self.steps += 1
        self._leave()

    def acquires(self, lock: Protocol, mode: Mode, trylock: bool) -> None:
        """Note that the step takes *lock*."""
        self._lock_event(_LockNotice(lock, mode, trylock))

    def releases(self, lock: Protocol) -> None:
        """Note that the step releases *lock*."""
        self._lock_event(_LockNotice(lock, None, False))

    # One step.

    def _arrive(self) -> None:
        """Come to a protocol action."""
        if self._slow:
            self._end_slow_motion()
        drawn = self._yield_random()
        if drawn < YIELD_SHORT:
            time.sleep(0)
        elif drawn > 1 - YIELD_LONG:
            time.sleep(NAP)

    def _leave(self) -> None:
        """Continue with plain statements after a protocol action."""
        if self.world.stopping or self._yield_random() < SLOW_MOTION:
            self._begin_slow_motion()

    def goes_on(self, look: int) -> bool:
        """Return whether to continue to the next point at which it could stop, though it must stop soon.

        Nearly always a thread is about to start a protocol action when the world is to stop. If it
        always stopped there, the invariants would never see the states after it.
        """
        if self._look != look:
            self._look = look
            self._credit = int(self._yield_random() * MAX_CREDIT)
        self._credit -= 1
        return self._credit >= 0

    def _pass_gate(self) -> None:
        if self.world.stopping or self.world.over:
            with self.world.lock:
                self.world.pass_gate(self)

    # Slow motion: the interpreter calls _trace before each line of the protocol's own code,
    # where the thread can stop, and in each store, after what the statement has read, where others
    # may come in.

    def _begin_slow_motion(self) -> None:
        self._slow = True
        self._trace_before = sys.gettrace()
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if place.is_own(frame.f_code):
                frame.f_trace = self._trace
            frame = frame.f_back
        sys.settrace(self._trace)

    def _end_slow_motion(self) -> None:
        self._slow = False
        sys.settrace(self._trace_before)

    def _trace(self, frame: FrameType, event: str, arg: object) -> TraceFunction | None:
        if not self._slow:
            return None
        if event == "call":
            if frame.f_code in _STORES and self._yield_random() < SLOW_YIELD:
                time.sleep(0)
        elif event == "line":
            self._pass_gate()
        return self._trace if place.is_own(frame.f_code) else None

    def _step(self, body: Callable[[], R], label: str, queued: bool) -> R:
        world = self.world
        world.pass_gate(self)
        self._choices.begin()
        self._pending = body
        try:
            while True:
                try:
                    result = self._try(body, label)
                    break
                except NotYet:
                    self._sleep(label, queued)
                if self._outcome is not None:
                    return self._take_over()  # type: ignore[no-any-return]
        finally:
            self._end_wait()
        self._commit()
        self._step_taken()
        return result

    def _end_wait(self) -> None:
        if self.wait is not None:
            self.world.ends_to_wait(self)
            self.wait = None

    def _step_taken(self) -> None:
        """A step is complete. Take as well the step of a thread that waits and has its turn."""
        self._count_step()
        if self.world.queue:
            try:
                while any(self._helps(other) for other in self.world.having_their_turn()):
                    pass
            finally:
                install_runner(self)

    @staticmethod
    def _helps(other: ThreadRunner) -> bool:
        install_runner(other)
        return other._is_helped()

    def _is_helped(self) -> bool:
        """Take the step that this thread waits for, on the calling thread; return whether it could be.

        This thread takes over when it wakes.
        """
        assert self.wait is not None
        try:
            result = self._try(self._pending, self.wait.label)
            self._outcome = lambda: result
        except NotYet:
            return False
        except Exception as error:
            self._outcome = functools.partial(_raise, error)
        self._end_wait()
        self._count_step()
        return True

    def _take_over(self) -> Any:
        """Return what the step that another thread has taken for this one returned."""
        assert self._outcome is not None
        outcome, self._outcome = self._outcome, None
        self._commit()
        return outcome()

    def _count_step(self) -> None:
        self.steps += 1
        self._note_progress()
        self.world.step_taken()

    def _note_progress(self) -> None:
        """Look at the properties that are to be true again and again, after a step."""
        if self.world.progress:
            self._in_step = True
            try:
                for progress in self.world.progress:
                    progress.look(self.world.steps)
            finally:
                self._in_step = False

    def _try(self, body: Callable[[], R], label: str) -> R:
        """Run *body*, with every combination of its choices if need be; NotYet if none goes."""
        self._in_step = True
        self.world.stepping = (self, label)
        try:
            while True:
                self._events.clear()
                try:
                    return body()
                except NotYet:
                    if not self._choices.advance():
                        raise
        finally:
            self._in_step = False

    def _sleep(self, label: str, queued: bool) -> None:
        world = self.world
        if self.wait is None:
            wants = [
                Want(event.lock, self.spec.task, event.mode)
                for event in self._events
                if event.mode is not None
            ]
            want = wants[0] if wants else None
            here = place.of_frame(sys._getframe(1))
            self.wait = Wait(label, queued, want, time.monotonic(), here)
            world.begins_to_wait(self)
            if want is not None and world.listener is not None:
                world.listener.waits(self.spec.task, want.lock, want.mode)
        self.looked_at = world.changes
        if world.waiting == world.unfinished():
            world.note_hang()
        world.changed.wait(RECHECK)
        world.pass_gate(self)

    def _lock_event(self, event: _LockNotice) -> None:
        self._events.append(event)
        if not self._in_step:
            with self.world.lock:
                self._commit()

    def _commit(self) -> None:
        world, task = self.world, self.spec.task
        for event in self._events:
            if event.mode is None:
                world.holdings.let_go(event.lock, task)
                if world.listener is not None:
                    world.listener.releases(task, event.lock)
            else:
                here = place.of_frame(sys._getframe(1))
                hold = Hold(event.lock, task, event.mode, time.monotonic(), here)
                world.holdings.take(hold)
                if world.listener is not None:
                    world.listener.acquires(task, event.lock, event.mode, event.trylock)
        self._events.clear()

    # The whole thread.

    def _run(self, scenario: Scenario) -> None:
        try:
            self._live(scenario)
        except Stop:
            pass  # it came late, in the last lines of _live
        finally:
            self.finished = True

    def _live(self, scenario: Scenario) -> None:
        install_runner(self)
        world = self.world
        finding = None
        try:
            with world.lock:
                world.pass_gate(self)
            self._leave()
            self.spec.method(scenario, *self.spec.arguments)
            self.returned = True
        except Stop:
            pass
        except Exception as error:
            finding = _finding(self.spec.name, error)
        if self._slow:
            self._end_slow_motion()
        with world.lock:
            self.finished = True
            if finding is not None:
                world.report(finding)
            world.thread_finished()


def _raise(error: Exception) -> None:
    raise error


def _finding(name: str, error: Exception) -> RunFinding:
    """Return what an exception in thread *name* means: a violation, with its place."""
    assert error.__traceback__ is not None
    at = site(place.of_traceback(error.__traceback__))
    text = str(error).partition("\n")[0]
    if isinstance(error, AttributeError) and text.startswith("'NoneType' object"):
        return RunFinding(
            FindingKind.OUT_OF_RANGE, f"{name}: None is used like a component", site=at
        )
    if isinstance(error, RangeViolation | IndexError | ArithmeticError):
        return RunFinding(FindingKind.OUT_OF_RANGE, f"{name}: {text}", site=at)
    if isinstance(error, AssertionError):
        return RunFinding(FindingKind.FAILED_ASSERT, f"{name}: {text or at.text}", site=at)
    shown = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return RunFinding(FindingKind.EXCEPTION, f"{name}: {shown}", site=at)


def site(at: Place) -> SourceSite:
    """Return *at* as it is reported."""
    return SourceSite(at.file, at.line, at.text)
