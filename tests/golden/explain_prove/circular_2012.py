"""possible circular locking dependency detected, kernel 3.4.0-toy+, bash/949

The scenario of a lockdep report, as `quiesce explain --model FILE` writes it: one thread for each
path of the report. Check it, change it, check it again:

    quiesce check FILE
    quiesce check FILE --set annotations_are_locks=true
        (take annotations for the locks that lockdep sees in them; false unless set)

The caught task also held &buffer->mutex. If all other paths hold one of these too, the cycle
cannot close: add it here and see.

All paths use the same objects here; a class may stand for many. The stack where the first lock of
a path was taken is not in a report.
"""

from quiesce.primitives import Mutex, RwSem
from quiesce.protocol import Scenario, thread
from quiesce.primitives.annotations import Section


class Report(Scenario):
    def __init__(self, annotations_are_locks: bool = False) -> None:
        self.as_drawn = int(annotations_are_locks)
        self.as_it_is = int(not annotations_are_locks)
        # Stands for a sysfs or kernfs attribute being read or written. A task that removes the
        # file waits in kernfs_drain() for all tasks inside; no task waits to enter: an attribute
        # under removal is refused.
        self.s_active = RwSem("s_active#22") if annotations_are_locks else Section("s_active#22")
        self.toy_sysfs_lock = Mutex("toy_sysfs_lock")

    @thread("as_drawn")
    def link_0(self) -> None:
        """Link #0: with s_active#22 held, on to toy_sysfs_lock. It is what lockdep caught:
        bash/949."""
        # Held: taken in sysfs_write_file().
        self.s_active.down_read()
        # In toy_store().
        with self.toy_sysfs_lock:
            pass
        self.s_active.up_read()

    @thread("as_drawn")
    def link_1(self) -> None:
        """Link #1: with toy_sysfs_lock held, on to s_active#22."""
        # Held: a mutex is always exclusive.
        with self.toy_sysfs_lock:
            # In sysfs_hash_and_remove().
            with self.s_active:
                pass

    @thread("as_it_is")
    def task_0(self) -> None:
        """Link #0, with what the annotation stands for."""
        # Held: taken in sysfs_write_file().
        with self.s_active:
            # In toy_store().
            with self.toy_sysfs_lock:
                pass

    @thread("as_it_is")
    def task_1(self) -> None:
        """Link #1, with what the annotation stands for."""
        # Held: a mutex is always exclusive.
        with self.toy_sysfs_lock:
            # In sysfs_hash_and_remove().
            self.s_active.wait_for_end()
