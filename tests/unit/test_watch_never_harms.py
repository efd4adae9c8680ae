# SPDX-License-Identifier: Apache-2.0
"""A watched program does what it does unwatched: it does not hang, fail or leak because of the watch."""

from __future__ import annotations

import copy
import gc
import itertools
import multiprocessing
import os
import pickle
import signal
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from watching import run_python

from quiesce.watch import thread_state, watch
from quiesce.watch.locks import LOCK, WatchedLock
from quiesce.watch.rlocks import WatchedRLock


@pytest.fixture(autouse=True)
def nothing_held() -> None:
    """Some of these tests lose a lock that they hold."""
    thread_state.current().held.clear()


def test_fork_while_other_threads_use_locks() -> None:
    done = run_python("01_fork_guard.py", "w")
    assert "hung children: 0" in done.stdout


def test_report_to_a_stream_that_takes_a_lock() -> None:
    done = run_python("04_stderr_with_lock.py", "w")
    assert done.stderr.splitlines()[-1] == "done"
    assert "quiesce: possible deadlock" in done.stderr


def test_many_futures() -> None:
    done = run_python("03_futures_wait.py", "1000")
    assert done.stdout.splitlines()[1].endswith(" []")


def _child(lock: Any) -> None:
    with lock:
        os._exit(0)


def test_lock_that_the_forking_thread_holds_works_in_the_child() -> None:
    with watch(quiet=True):
        lock = threading.Lock()
        with lock:
            pid = os.fork()
            if pid == 0:
                lock.release()
                _child(lock)
        assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes(method: str) -> None:
    with watch() as watched:
        context = multiprocessing.get_context(method)
        with context.Pool(1) as pool:
            assert pool.apply(abs, (-1,)) == 1
    assert [one for one in watched.reports if one.kind != "fork"] == []


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Condition"])
def test_nothing_stays_locked_after_a_recursion_error(kind: str) -> None:
    with watch(quiet=True):
        lock = getattr(threading, kind)()

        def deeper() -> None:
            with lock if kind != "Lock" else threading.Lock():
                deeper()

        def alone() -> None:
            with lock:
                pass

        def at_depth(call: Callable[[], None]) -> None:
            try:
                at_depth(call)
            finally:
                call()

        if kind in ("RLock", "Condition"):
            with pytest.raises(RecursionError):
                deeper()
        with pytest.raises(RecursionError):
            at_depth(alone)
        free: list[bool] = []

        def probe() -> None:
            free.append(lock.acquire(False))
            lock.release()

        thread = threading.Thread(target=probe)
        thread.start()
        thread.join()
        assert free == [True]
        assert thread_state.current().held == []


def test_engine_without_memory_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails inside the watch does not reach the program."""

    def fails(*_args: object) -> None:
        raise MemoryError

    with watch(quiet=True) as watched:
        a, b = threading.Lock(), threading.Lock()
        monkeypatch.setattr("quiesce.watch.engine.stack_of", fails)
        with a, b:
            pass
        assert not a.locked() and not b.locked()
        monkeypatch.undo()
        c, d = threading.Lock(), threading.Lock()
        with c, d:
            pass
        with d, c:
            pass
    assert len(watched.reports) == 1


@pytest.mark.parametrize("make", ["Lock", "RLock"])
def test_ctrl_c_at_any_moment_leaves_nothing_locked(make: str) -> None:
    """An alarm raises somewhere in a loop of with statements, thousands of times."""

    class Stop(Exception):
        pass

    def stop(_number: int, _frame: object) -> None:
        raise Stop

    with watch(quiet=True):
        lock = getattr(threading, make)()
        before = signal.signal(signal.SIGALRM, stop)
        try:
            for delay in range(400):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.0002 + delay * 1e-6)
                    while True:
                        with lock:
                            pass
                except Stop:
                    pass
                assert thread_state.current().held == []
                if make == "Lock":
                    assert not lock.locked()
                else:
                    assert not lock._is_owned()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def test_ctrl_c_interrupts_a_thread_that_waits() -> None:
    class Stop(Exception):
        pass

    def stop(_number: int, _frame: object) -> None:
        raise Stop

    with watch(quiet=True):
        lock = threading.Lock()
        release = threading.Event()

        def holder() -> None:
            with lock:
                release.wait(30)

        thread = threading.Thread(target=holder)
        thread.start()
        while not lock.locked():
            time.sleep(0.001)
        before = signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            with pytest.raises(Stop):
                lock.acquire()
        finally:
            signal.signal(signal.SIGALRM, before)
            release.set()
            thread.join()
        assert thread_state.current().held == []
        assert lock.acquire(False)
        lock.release()


def test_handlers_of_signals_are_what_the_program_set() -> None:
    def handler(_number: int, _frame: object) -> None: ...

    before = signal.getsignal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, handler)
    try:
        with watch():
            assert signal.getsignal(signal.SIGUSR1) is handler
            assert signal.signal(signal.SIGUSR1, signal.SIG_DFL) is handler
            assert signal.signal(signal.SIGUSR1, handler) == signal.SIG_DFL
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGUSR1) is handler
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_types_are_what_they_were() -> None:
    real_lock, real_rlock = type(threading.Lock()), type(threading.RLock())
    made_before = threading.Lock()
    with watch():
        lock, rlock = threading.Lock(), threading.RLock()
        assert isinstance(lock, real_lock) and isinstance(rlock, real_rlock)
        assert isinstance(lock, threading.Lock)  # type: ignore[arg-type, unused-ignore]
        assert isinstance(made_before, threading.Lock)  # type: ignore[arg-type, unused-ignore]
        assert not isinstance(rlock, threading.Lock)  # type: ignore[arg-type, unused-ignore]
        assert threading.Lock | None  # type: ignore[operator, unused-ignore]
        assert isinstance(threading.BoundedSemaphore(), threading.Semaphore)
        assert type(threading.Semaphore()) is threading.Semaphore

        class Named:
            make = threading.Lock

        assert Named().make().acquire()
        with pytest.raises(TypeError):
            pickle.dumps(lock)
        with pytest.raises(TypeError):
            copy.deepcopy(rlock)
        with pytest.raises(TypeError):
            type("Mine", (threading.Lock,), {})
        assert weakref.ref(lock)() is lock
        assert not hasattr(lock, "_release_save")
        assert hasattr(rlock, "_recursion_count") == hasattr(real_rlock, "_recursion_count")
        with pytest.raises(RuntimeError):
            lock.release()
        with pytest.raises(RuntimeError):
            rlock.release()
        with pytest.raises(ValueError):
            lock.acquire(False, 1)
        with pytest.raises((ValueError, OverflowError)):
            lock.acquire(True, -2)


def test_names_imported_before_are_replaced_and_put_back() -> None:
    import _thread
    import functools

    before = (threading.Lock, threading.RLock, _thread.allocate_lock, vars(functools)["RLock"])
    with watch(quiet=True):
        assert vars(functools)["RLock"] is WatchedRLock
        assert _thread.allocate_lock is LOCK
        assert type(_thread.allocate_lock()) is WatchedLock
    assert before == (
        threading.Lock,
        threading.RLock,
        _thread.allocate_lock,
        vars(functools)["RLock"],
    )


def test_watches_nest() -> None:
    with watch(quiet=True) as outer:
        a, b = threading.Lock(), threading.Lock()
        with a, b:
            pass
        with watch(quiet=True) as inner:
            with b, a:
                pass
        c, d = threading.Lock(), threading.Lock()
        with c, d:
            pass
        with d, c:
            pass
    assert len(inner.reports) == 1
    assert len(outer.reports) == 2


def test_threads_leave_nothing_behind() -> None:
    with watch(quiet=True):
        lock = threading.Lock()

        def work() -> None:
            with lock:
                pass

        def batch() -> int:
            for _ in range(50):
                thread = threading.Thread(target=work)
                thread.start()
                thread.join()
            gc.collect()
            return len(thread_state._STATES)

        first = batch()
        assert batch() <= first


def test_foreign_threads_get_no_thread_object() -> None:
    import _thread

    with watch(quiet=True):
        a, b = threading.Lock(), threading.Lock()
        done = threading.Event()

        def work() -> None:
            with a, b:
                pass
            done.set()

        before = set(threading.enumerate())
        _thread.start_new_thread(work, ())
        assert done.wait(30)
        assert set(threading.enumerate()) <= before


def test_lock_that_dies_while_it_is_held() -> None:
    with watch(quiet=True):
        for _ in range(1000):
            threading.Lock().acquire(False)
        assert len(thread_state.current().held) < 200
        thread_state.current().prune()
        assert thread_state.current().held == []


def test_no_limit_of_held_locks() -> None:
    with watch(quiet=True) as watched:
        locks = [threading.Lock() for _ in range(200)]
        outer = threading.Lock()
        with outer:
            for lock in locks:
                lock.acquire()
            for lock in locks:
                lock.release()
    assert watched.reports == []


def _hand_over_hand(count: int) -> float:
    locks = [threading.Lock() for _ in range(count)]
    start = time.process_time()
    for order in (locks, locks):
        order[0].acquire()
        for held, following in itertools.pairwise(order):
            following.acquire()
            held.release()
        order[-1].release()
        for lock in order:
            lock.acquire()
        for lock in order:
            lock.release()
    return time.process_time() - start


def test_hand_over_hand_is_linear() -> None:
    with watch(quiet=True) as watched:
        _hand_over_hand(500)
        small = min(_hand_over_hand(500) for _ in range(3))
        large = min(_hand_over_hand(4000) for _ in range(3))
    assert watched.reports == []
    assert large < 8 * small * 4, (small, large)


def test_finaliser_that_locks_in_the_middle_of_the_watch() -> None:
    """Collections run at every allocation, also inside the engine; finalisers take watched locks."""
    threshold = gc.get_threshold()
    with watch(quiet=True):
        shared = threading.RLock()

        class Locks:
            def __init__(self) -> None:
                self.me = self

            def __del__(self) -> None:
                with shared:
                    pass

        def work() -> None:
            for _ in range(50):
                Locks()
                a, b = threading.Lock(), threading.Lock()
                with a, b, shared:
                    pass

        gc.set_threshold(1)
        try:
            threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert not any(thread.is_alive() for thread in threads)
        finally:
            gc.set_threshold(*threshold)


def test_a_lock_handed_to_another_thread_is_a_signal() -> None:
    """A Lock that another thread releases is no deadlock of the thread that waits for it."""
    with watch() as watched:
        lock = threading.Lock()
        lock.acquire()
        threading.Timer(0.05, lock.release).start()
        lock.acquire()
        lock.release()
    assert watched.reports == []


def test_started_at_the_end_of_the_interpreter() -> None:
    done = run_python(
        "-c",
        "import atexit, threading\n"
        "from quiesce.watch.runner import start\n"
        "start()\n"
        "a = threading.Lock()\n"
        "b = threading.Lock()\n"
        "def late():\n"
        "    with a, b: pass\n"
        "    with b, a: pass\n"
        "atexit.register(late)\n",
    )
    assert done.returncode == 0
    assert "possible deadlock: a and b" in done.stderr


def test_report_is_found_although_a_lock_was_lost() -> None:
    """A lock that died while it was held is not a lock that guards others."""
    with watch(quiet=True) as watched:
        threading.Lock().acquire()
        a, b = threading.Lock(), threading.Lock()
        with a, b:
            pass
        with b, a:
            pass
    assert len(watched.reports) == 1


def test_factories_can_be_pickled() -> None:
    """A manager of multiprocessing sends threading.Lock to a process that may not be watched."""
    plain_lock, plain_rlock = pickle.dumps(threading.Lock), pickle.dumps(threading._CRLock)  # type: ignore[attr-defined]
    with watch(quiet=True):
        assert pickle.loads(pickle.dumps(threading.Lock)) is threading.Lock
        assert pickle.loads(plain_lock) is not None and pickle.loads(plain_rlock) is not None
        kept = threading.Lock
    assert pickle.loads(pickle.dumps(kept))().acquire()
