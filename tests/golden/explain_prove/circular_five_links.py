"""possible circular locking dependency detected, kernel 6.15.0-rc2-toy-00012-gabcdef,
kworker/3:1/77

The scenario of a lockdep report, as `quiesce explain --model FILE` writes it: one thread for each
path of the report. Check it, change it, check it again:

    quiesce check FILE
    quiesce check FILE --set annotations_are_locks=true
        (take annotations for the locks that lockdep sees in them; false unless set)
    quiesce check FILE --set in_turn=false
        (let the tasks begin one after the other: a smaller search; true unless set)

All paths use the same objects here; a class may stand for many. The stack where the first lock of
a path was taken is not in a report.
"""

from quiesce.primitives import LockdepMap, Mutex, RwSem
from quiesce.protocol import Scenario, thread
from quiesce.primitives.annotations import ExclusiveMap, Section, Turns


class Report(Scenario):
    def __init__(self, annotations_are_locks: bool = False, in_turn: bool = True) -> None:
        self.as_drawn = int(annotations_are_locks)
        self.as_it_is = int(not annotations_are_locks)
        self.turns = Turns(in_turn)
        # Stands for the execution of that work item. A task that flushes or cancels the item
        # (flush_work(), cancel_work_sync()) waits until its function has returned; the worker
        # that runs it does not wait.
        self.dwork_work = (
            ExclusiveMap("(work_completion)(&(&toy->dwork)->work)")
            if annotations_are_locks
            else Section("(work_completion)(&(&toy->dwork)->work)")
        )
        self.rtnl_mutex = Mutex("rtnl_mutex")
        self.tree_lock = RwSem("&toy->tree_lock/1")
        # Stands for memory reclaim that may call into file systems and drivers: kswapd, and any
        # allocation that may reclaim directly (GFP_KERNEL). No task waits for it. The task that
        # allocates does the reclaim itself, so what is taken 'under fs_reclaim' is taken by the
        # allocating task, or by kswapd.
        self.fs_reclaim = (
            ExclusiveMap("fs_reclaim") if annotations_are_locks else LockdepMap("fs_reclaim")
        )
        # Stands for the execution of any work item of that workqueue. A task that flushes, drains
        # or destroys the workqueue waits for all its items; a worker does not wait. All items of
        # the queue, and all queues made by the same code, share it.
        self.wq = (
            ExclusiveMap("(wq_completion)toy-wq#3")
            if annotations_are_locks
            else Section("(wq_completion)toy-wq#3")
        )

    @thread("as_drawn")
    def link_0(self) -> None:
        """Link #0: with (work_completion)(&(&toy->dwork)->work) held, on to rtnl_mutex. It is
        what lockdep caught: kworker/3:1/77."""
        self.turns.wait_for(1)
        # Held: taken in process_one_work().
        with self.dwork_work:
            self.turns.begin_next()
            # In rtnl_lock().
            with self.rtnl_mutex:
                pass

    @thread()
    def link_1(self) -> None:
        """Link #1: with rtnl_mutex held, on to &toy->tree_lock/1."""
        self.turns.wait_for(0)
        # Held: a mutex is always exclusive.
        with self.rtnl_mutex:
            self.turns.begin_next()
            # In toy_insert().
            with self.tree_lock:
                pass

    @thread("as_drawn")
    def link_2(self) -> None:
        """Link #2: with &toy->tree_lock/1 held, on to fs_reclaim."""
        self.turns.wait_for(2)
        # Held for write, say: how, the report does not show. Held for read, it makes the other
        # wait as well.
        with self.tree_lock:
            self.turns.begin_next()
            # In toy_grow().
            with self.fs_reclaim:
                pass

    @thread("as_drawn")
    def link_3(self) -> None:
        """Link #3: with fs_reclaim held, on to (wq_completion)toy-wq#3."""
        self.turns.wait_for(3)
        # Held: never taken for read so far.
        with self.fs_reclaim:
            self.turns.begin_next()
            # In toy_shrink().
            with self.wq:
                pass

    @thread("as_drawn")
    def link_4(self) -> None:
        """Link #4: with (wq_completion)toy-wq#3 held, on to
        (work_completion)(&(&toy->dwork)->work)."""
        self.turns.wait_for(4)
        # Held: a work item is always exclusive.
        with self.wq:
            self.turns.begin_next()
            # In worker_thread().
            with self.dwork_work:
                pass

    @thread("as_it_is")
    def links_4_0(self) -> None:
        """Links #4 and #0 in one task: no task waits in between."""
        self.turns.wait_for(1)
        # Held: a work item is always exclusive.
        with self.wq:
            self.turns.begin_next()
            # In worker_thread().
            with self.dwork_work:
                # In rtnl_lock().
                with self.rtnl_mutex:
                    pass

    @thread("as_it_is")
    def links_2_3(self) -> None:
        """Links #2 and #3 in one task: no task waits in between."""
        self.turns.wait_for(2)
        # Held for write, say: how, the report does not show. Held for read, it makes the other
        # wait as well.
        with self.tree_lock:
            self.turns.begin_next()
            # In toy_grow().
            with self.fs_reclaim:
                # In toy_shrink().
                self.wq.wait_for_end()
