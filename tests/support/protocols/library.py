# SPDX-License-Identifier: Apache-2.0
"""A use of each primitive of the library, right, and wrong in the ways that it is used wrongly.

Each scenario's parameter ``how`` says which; ``right`` must hold, on real threads, too.
"""

from __future__ import annotations

from quiesce.primitives import (
    Barrier,
    CondVar,
    Event,
    Futex,
    Kref,
    Kthread,
    McsLock,
    Mutex,
    PercpuRwSem,
    Queue,
    Rcu,
    Refcount,
    Semaphore,
    SpinLock,
    TicketLock,
    Timer,
    Work,
    schedule,
    set_current_state,
)
from quiesce.protocol import (
    TASK_RUNNING,
    TASK_UNINTERRUPTIBLE,
    Array,
    Bool,
    Int,
    Protocol,
    Scenario,
    always,
    atomic,
    sometimes,
    thread,
)


class Room(Scenario):
    """Two of three users may be inside.

    ``three``: the semaphore lets three in. ``twice``: a user leaves twice.
    """

    inside = Int(0, high=3)

    def __init__(self, how: str = "right") -> None:
        self.how = how
        self.rounds = 2 if how == "twice" else 1
        self.places = Semaphore(3 if how == "three" else 2)

    @atomic
    def enter(self) -> None:
        self.inside += 1

    @atomic
    def leave(self) -> None:
        self.inside -= 1

    @thread(3)
    def user(self) -> None:
        for _ in range(self.rounds):
            with self.places:
                self.enter()
                self.leave()
            if self.how == "twice":
                self.places.up()

    @always
    def two_at_most(self) -> bool:
        return self.inside <= 2

    @sometimes
    def two(self) -> bool:
        return self.inside == 2


class Buffer(Scenario):
    """A buffer of one place out of a mutex and condition variables.

    ``if``: a woken task does not look again. ``one condition``: producers and consumers share a condition
    variable, and ``signal()`` wakes the wrong kind. ``spurious if``: one consumer, which does not look again
    after a wait that returned by itself. ``spurious``: waits may return by themselves, used rightly.
    """

    mutex = Mutex()
    full = Int(0, high=1)

    def __init__(self, how: str = "right") -> None:
        self.how = how
        self.looks_again = "if" not in how
        self.users = 1 if how == "spurious if" else 2
        self.not_empty = CondVar(spurious="spurious" in how)
        self.not_full = self.not_empty if how == "one condition" else CondVar()

    @thread("users")
    def consumer(self) -> None:
        with self.mutex:
            if self.looks_again:
                while self.full == 0:
                    self.not_empty.wait(self.mutex)
            elif self.full == 0:
                self.not_empty.wait(self.mutex)
            self.full -= 1
            self.not_full.signal()

    @thread("users")
    def producer(self) -> None:
        with self.mutex:
            while self.full == 1:
                self.not_full.wait(self.mutex)
            self.full += 1
            self.not_empty.signal()


class Rounds(Scenario):
    """Three tasks meet twice. ``four``: the barrier waits for a fourth."""

    round = Array[int](Int(0, high=2), 3)
    next = Int(0, high=3)

    def __init__(self, how: str = "right") -> None:
        self.barrier = Barrier(4 if how == "four" else 3)

    @atomic
    def number(self) -> int:
        self.next += 1
        return self.next - 1

    @atomic
    def advance(self, mine: int) -> None:
        self.round[mine] += 1

    @thread(3)
    def walker(self) -> None:
        mine = self.number()
        for _ in range(2):
            self.barrier.wait()
            self.advance(mine)

    @always
    def together(self) -> bool:
        first, second, third = self.round[0], self.round[1], self.round[2]
        return max(first, second, third) - min(first, second, third) <= 1


class Signal(Scenario):
    """Two tasks wait for an event.

    ``auto``: it resets itself. ``never``: it is not set. ``cleared``: it is reset immediately.
    """

    data = Bool(marked=True)

    def __init__(self, how: str = "right") -> None:
        self.how = how
        self.event = Event(auto_reset=how == "auto")

    @thread(2)
    def waiter(self) -> None:
        self.event.wait()
        assert self.data, "the event came too early"

    @thread()
    def setter(self) -> None:
        self.data = True
        if self.how != "never":
            self.event.set()
        if self.how == "cleared":
            self.event.clear()


class Pipe(Scenario):
    """Numbers come out in the order in which they went in. ``two``: two producers mix theirs."""

    def __init__(self, how: str = "right") -> None:
        self.queue = Queue(2, high=3)
        self.producers = 2 if how == "two" else 1

    @thread("producers")
    def producer(self) -> None:
        for i in range(3):
            self.queue.put(i + 1)

    @thread("producers")
    def consumer(self) -> None:
        for i in range(3):
            item = self.queue.get()
            if self.producers == 1:
                assert item == i + 1, "out of order"
            else:
                assert item == i + 1, "out of order"


class FutexMutex(Protocol):
    """Drepper's second mutex: 0 free, 1 held, 2 held and perhaps waited for.

    :param how: ``one``: a task that was woken takes the lock as if no other waited. ``no wait``: the word is
        not compared again when a task goes to sleep.
    """

    def __init__(self, how: str) -> None:
        self.how = how
        self.word = Futex(high=2)

    def lock(self) -> None:
        if self.word.cmpxchg(0, 1) == 0:
            return
        if self.how == "one":
            while self.word.cmpxchg(0, 1) != 0:
                self.word.xchg(2)
                self.word.wait(2)
            return
        while self.word.xchg(2) != 0:
            self.word.wait(2)

    def unlock(self) -> None:
        if self.word.xchg(0) == 2:
            self.word.wake(1)

    def __enter__(self) -> None:
        self.lock()

    def __exit__(self, *exc: object) -> None:
        self.unlock()


class Locked(Scenario):
    """Three users of one lock, which are never inside together.

    :param how: the lock: ``futex``, ``ticket``, ``mcs``; ``futex one``, ``few tickets`` and ``mcs hasty`` are
        wrong.
    """

    inside = Int(0, high=3)

    def __init__(self, how: str = "ticket", users: int = 3) -> None:
        self.users = users
        self.lock: FutexMutex | TicketLock | McsLock
        if how.startswith("futex"):
            self.lock = FutexMutex(how.removeprefix("futex").strip())
        elif how == "few tickets":
            self.lock = TicketLock(2)
        elif how == "ticket":
            self.lock = TicketLock()
        else:
            self.lock = HastyMcsLock() if how == "mcs hasty" else McsLock()

    @atomic
    def enter(self) -> None:
        self.inside += 1

    @atomic
    def leave(self) -> None:
        self.inside -= 1

    @thread("users")
    def user(self) -> None:
        with self.lock:
            self.enter()
            self.leave()

    @always
    def alone(self) -> bool:
        return self.inside <= 1


class HastyMcsLock(McsLock):
    """Leaves the lock free although another task has queued and not linked itself yet."""

    def unlock(self) -> None:
        if not self._has_next():
            self._forget()
            return
        self._hand_over()

    @atomic
    def _forget(self) -> None:
        self.tail = None


class Readers(Scenario):
    """Two readers and a writer. ``nested``: a reader reads within its read section."""

    sem = PercpuRwSem()
    data = Int(0, high=2)

    def __init__(self, how: str = "right") -> None:
        self.how = how

    @thread(2)
    def reader(self) -> None:
        self.sem.down_read()
        if self.how == "nested":
            self.sem.down_read()
            self.sem.up_read()
        assert self.data != 1, "half written"
        self.sem.up_read()

    @thread()
    def writer(self) -> None:
        with self.sem:
            self.data = 1
            self.data = 2


class Lookup(Scenario):
    """Look-ups of an object that its owner drops (``Documentation/core-api/kref.rst``).

    ``get``: a look-up takes a reference of an object that may have none left. ``no grace``: the owner does
    not wait for read sections.
    """

    rcu = Rcu()
    ref = Kref()
    listed = Bool(True, marked=True)
    freed = Bool(marked=True)

    def __init__(self, how: str = "right") -> None:
        self.how = how

    def use(self) -> None:
        assert not self.freed, "use after free"

    def put(self) -> None:
        if self.ref.put():
            self.listed = False
            if self.how != "no grace":
                self.rcu.synchronize_rcu()
            self.freed = True

    @thread(2)
    def looker(self) -> None:
        got = False
        with self.rcu:
            if self.listed:
                self.use()
                if self.how == "get":
                    self.ref.get()
                    got = True
                else:
                    got = self.ref.get_unless_zero()
        if got:
            self.use()
            self.put()

    @thread()
    def owner(self) -> None:
        self.put()


class Cache(Scenario):
    """The last reference leaves the list under its lock. ``unlocked``: it is dropped first, locked then."""

    lock = SpinLock()
    refs = Refcount(1)
    listed = Bool(True)

    def __init__(self, how: str = "right") -> None:
        self.how = how

    def put(self) -> None:
        if self.how == "unlocked":
            if self.refs.dec_and_test():
                with self.lock:
                    self.listed = False
        elif self.refs.dec_and_lock(self.lock):
            self.listed = False
            self.lock.unlock()

    @thread(2)
    def looker(self) -> None:
        found = False
        with self.lock:
            if self.listed:
                self.refs.inc()
                found = True
        if found:
            self.put()

    @thread()
    def owner(self) -> None:
        self.put()


class Device(Scenario):
    """A work and a timer of a device that goes away.

    ``flush under lock``: the function needs the lock that its flusher holds. ``no cancel``: nothing waits for
    the work. ``cancel first``: the work is cancelled before the last task that queues it has ended.
    """

    work = Work()
    lock = Mutex()
    freed = Bool(marked=True)
    closing = Bool(marked=True)
    done = Int(0, high=3)

    def __init__(self, how: str = "right") -> None:
        self.how = how

    @thread(daemon=True)
    def kworker(self) -> None:
        while True:
            with self.work:
                with self.lock:
                    assert not self.freed, "use after free"
                    self.done = min(self.done + 1, 3)

    @thread()
    def user(self) -> None:
        with self.lock:
            if not self.closing:
                self.work.queue_work()
            if self.how == "flush under lock":
                self.work.flush_work()
        if self.how == "right":
            self.work.flush_work()

    @thread()
    def remove(self) -> None:
        if self.how == "cancel first":
            self.work.cancel_work_sync()
        with self.lock:
            self.closing = True
        if self.how not in ("no cancel", "cancel first"):
            self.work.cancel_work_sync()
        self.freed = True


class Watchdog(Scenario):
    """A timer that arms itself again, and an object that goes away.

    ``delete``: nothing waits for the function. ``rearm``: a user arms the timer after it was deleted.
    ``under lock``: the function needs the lock of the task that waits for it.
    """

    timer = Timer()
    lock = SpinLock()
    freed = Bool(marked=True)

    def __init__(self, how: str = "right") -> None:
        self.how = how

    @thread(daemon=True)
    def softirq(self) -> None:
        while True:
            with self.timer:
                with self.lock:
                    assert not self.freed, "use after free"
                self.timer.mod_timer()

    @thread()
    def remove(self) -> None:
        self.timer.mod_timer()
        if self.how == "under lock":
            with self.lock:
                self.timer.timer_shutdown_sync()
        elif self.how == "delete":
            self.timer.timer_delete()
        elif self.how == "rearm":
            self.timer.timer_delete_sync()
        else:
            self.timer.timer_shutdown_sync()
        self.freed = True

    @thread()
    def user(self) -> None:
        self.timer.mod_timer()


class Stopping(Scenario):
    """A kernel thread sleeps until it is asked to stop.

    ``late``: it announces its sleep after its last look.
    """

    kthread = Kthread()

    def __init__(self, how: str = "right") -> None:
        self.how = how

    @thread()
    def kernel_thread(self) -> None:
        self.kthread.begin()
        if self.how == "late":
            while not self.kthread.should_stop():
                set_current_state(TASK_UNINTERRUPTIBLE)
                schedule()
        else:
            set_current_state(TASK_UNINTERRUPTIBLE)
            while not self.kthread.should_stop():
                schedule()
                set_current_state(TASK_UNINTERRUPTIBLE)
            set_current_state(TASK_RUNNING)
        self.kthread.exit()

    @thread()
    def stopper(self) -> None:
        self.kthread.stop()
