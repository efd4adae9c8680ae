# SPDX-License-Identifier: Apache-2.0
"""The oracle's own definitions of the locks and ways of waiting, from what Linux documents about each.

They share no code with ``quiesce.primitives``, but they are not blind to it: names, arguments and what is
asserted follow it, so that the same protocols run on both. ``queued=True``: waiters queue, so
that a waiter which can get the lock again and again gets it.
"""

PRIMITIVES = '''
class SpinLock:
    owner = TaskRef()

    @atomic(queued=True)
    def lock(self):
        wait_until(self.owner is None)
        self.owner = current()

    @atomic
    def trylock(self):
        if self.owner is None:
            self.owner = current()
            return True
        return False

    @atomic
    def unlock(self):
        assert self.owner is current()
        self.owner = None


class RwSem:
    """Fair: a new reader queues behind a queued writer, unless no task holds the semaphore at all.

    A releasing writer, and a reader that steals, let in all queued readers.
    """

    owner = TaskRef()
    readers = Int(0, high=31)
    holds = PerTask(Int(0, high=7))
    queue = TaskSet()
    writers = Int(0, high=31)

    def down_read(self):
        if not self.try_to_read():
            self.sleep_as_reader()

    @atomic
    def try_to_read(self):
        if self.owner is not None or (self.writers > 0 and self.readers > 0):
            self.queue.add(current())
            return False
        self.readers = self.readers + len(self.queue) + 1
        self.queue.clear()
        self.holds[current()] += 1
        return True

    @atomic(queued=True)
    def sleep_as_reader(self):
        wait_until(current() not in self.queue)
        self.holds[current()] += 1

    @atomic
    def up_read(self):
        assert self.holds[current()] != 0
        self.readers -= 1
        self.holds[current()] -= 1

    def down_write(self):
        if not self.try_to_write():
            self.sleep_as_writer()

    @atomic
    def try_to_write(self):
        if self.owner is None and self.readers == 0:
            self.owner = current()
            return True
        self.writers += 1
        return False

    @atomic(queued=True)
    def sleep_as_writer(self):
        wait_until(self.owner is None and self.readers == 0)
        self.owner = current()
        self.writers -= 1

    @atomic
    def up_write(self):
        assert self.owner is current()
        self.owner = None
        self.readers = len(self.queue)
        self.queue.clear()

    def lock(self):
        self.down_write()

    def unlock(self):
        self.up_write()


class RwLock:
    """qrwlock in task context: a new reader queues behind any writer, a new writer behind any task."""

    owner = TaskRef()
    readers = Int(0, high=31)
    holds = PerTask(Int(0, high=7))
    queue = TaskSet()
    writers = Int(0, high=31)

    def read_lock(self):
        if not self.try_to_read():
            self.spin_as_reader()

    @atomic
    def try_to_read(self):
        if self.owner is not None or self.writers > 0:
            self.queue.add(current())
            return False
        self.readers += 1
        self.holds[current()] += 1
        return True

    @atomic(queued=True)
    def spin_as_reader(self):
        wait_until(current() not in self.queue)
        self.holds[current()] += 1

    @atomic
    def read_unlock(self):
        assert self.holds[current()] != 0
        self.readers -= 1
        self.holds[current()] -= 1

    def write_lock(self):
        if not self.try_to_write():
            self.spin_as_writer()

    @atomic
    def try_to_write(self):
        if self.owner is None and self.readers == 0 and self.writers == 0:
            self.owner = current()
            return True
        self.writers += 1
        return False

    @atomic(queued=True)
    def spin_as_writer(self):
        wait_until(self.owner is None and self.readers == 0)
        self.owner = current()
        self.writers -= 1

    @atomic
    def write_unlock(self):
        assert self.owner is current()
        self.owner = None
        self.readers = len(self.queue)
        self.queue.clear()

    def lock(self):
        self.write_lock()

    def unlock(self):
        self.write_unlock()


class RwSemUnfair:
    owner = TaskRef()
    readers = Int(0, high=31)
    holds = PerTask(Int(0, high=7))

    @atomic(queued=True)
    def down_read(self):
        wait_until(self.owner is None)
        self.readers += 1
        self.holds[current()] += 1

    @atomic
    def up_read(self):
        assert self.holds[current()] != 0
        self.readers -= 1
        self.holds[current()] -= 1

    @atomic(queued=True)
    def lock(self):
        wait_until(self.owner is None and self.readers == 0)
        self.owner = current()

    @atomic
    def unlock(self):
        assert self.owner is current()
        self.owner = None


class Completion:
    done = Int(0, high=63)
    everybody = Bool()

    @atomic
    def complete(self):
        if not self.everybody:
            self.done += 1

    @atomic
    def complete_all(self):
        self.done = 0
        self.everybody = True

    @atomic
    def reinit_completion(self):
        self.done = 0
        self.everybody = False

    @atomic
    def wait_for_completion(self):
        wait_until(self.done != 0 or self.everybody)
        if not self.everybody:
            self.done -= 1


class WaitQueue:
    asleep = TaskSet()

    @atomic
    def prepare_to_wait(self):
        self.asleep.add(current())

    @atomic
    def schedule(self):
        wait_until(current() not in self.asleep)

    @atomic
    def finish_wait(self):
        self.asleep.discard(current())

    @atomic
    def wake_up_all(self):
        self.asleep.clear()


class RcuWait:
    sleeper = TaskRef()

    @atomic
    def prepare_to_rcuwait(self):
        assert self.sleeper is None
        self.sleeper = current()

    @atomic
    def finish_rcuwait(self):
        self.sleeper = None
        current().state = TASK_RUNNING

    def wake_up(self):
        sleeper = READ_ONCE(self.sleeper)
        if sleeper is not None:
            wake_up_process(sleeper)


class Rcu:
    depth = PerTask(Int(0, high=7))
    inside = TaskSet()
    updater = TaskRef()
    before = TaskSet()

    @atomic
    def rcu_read_lock(self):
        self.depth[current()] += 1
        self.inside.add(current())

    @atomic
    def rcu_read_unlock(self):
        assert self.depth[current()] > 0
        self.depth[current()] -= 1
        if self.depth[current()] == 0:
            self.inside.discard(current())
            self.before.discard(current())

    def synchronize_rcu(self):
        self.begin()
        self.end()

    @atomic(queued=True)
    def begin(self):
        assert self.depth[current()] == 0
        wait_until(self.updater is None)
        self.updater = current()
        self.before = self.inside

    @atomic
    def end(self):
        wait_until(len(self.before) == 0)
        self.updater = None

    def lock(self):
        self.rcu_read_lock()

    def unlock(self):
        self.rcu_read_unlock()


class SeqCount:
    sequence = Version()
    odd = Bool()

    @atomic
    def read_seqcount_begin(self):
        wait_until(not self.odd)
        return self.sequence

    @atomic
    def read_seqcount_retry(self, start):
        return self.sequence != start

    @atomic
    def lock(self):
        assert not self.odd
        self.odd = True
        self.sequence += 1

    @atomic
    def unlock(self):
        assert self.odd
        self.odd = False
        self.sequence += 1


@atomic
def set_current_state(state):
    current().state = state


@atomic
def schedule():
    wait_until(current().state == TASK_RUNNING)


@atomic
def wake_up_process(task):
    if task.state != TASK_RUNNING:
        task.state = TASK_RUNNING
        return True
    return False
'''
