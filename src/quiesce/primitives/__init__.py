# SPDX-License-Identifier: Apache-2.0
"""The kernel's locks and ways of waiting, and the library beside them: each defined once in the
protocol language.

Nothing here is known to the compiler or to the explorers: a lock is a class whose atomic methods say
what they acquire and release. Names, also those in traces, are the kernel's.
"""

from quiesce.primitives.atomic import Atomic
from quiesce.primitives.barrier import Barrier
from quiesce.primitives.base import Lock, WaitType, might_sleep
from quiesce.primitives.completion import Completion
from quiesce.primitives.condvar import CondVar
from quiesce.primitives.event import Event
from quiesce.primitives.futex import Futex
from quiesce.primitives.kref import Kref
from quiesce.primitives.kthread import Kthread
from quiesce.primitives.lockdep_map import LockdepMap
from quiesce.primitives.mcs_lock import McsLock
from quiesce.primitives.mutex import Mutex
from quiesce.primitives.non_block import non_block_end, non_block_start
from quiesce.primitives.percpu_rwsem import PercpuRwSem
from quiesce.primitives.queue import Queue
from quiesce.primitives.rcu import Rcu
from quiesce.primitives.rcuwait import RcuWait
from quiesce.primitives.refcount import Refcount
from quiesce.primitives.rwlock import RwLock
from quiesce.primitives.rwsem import RwSem, RwSemUnfair
from quiesce.primitives.schedule import schedule, set_current_state, wake_up_process
from quiesce.primitives.semaphore import Semaphore
from quiesce.primitives.seqcount import SeqCount
from quiesce.primitives.spinlock import RawSpinLock, SpinLock, configure_preempt_rt
from quiesce.primitives.srcu import Srcu
from quiesce.primitives.ticket_lock import TicketLock
from quiesce.primitives.timer import Timer
from quiesce.primitives.waitqueue import WaitQueue
from quiesce.primitives.workqueue import Work

__all__ = [
    "Atomic",
    "Barrier",
    "Completion",
    "CondVar",
    "Event",
    "Futex",
    "Kref",
    "Kthread",
    "Lock",
    "LockdepMap",
    "McsLock",
    "Mutex",
    "PercpuRwSem",
    "Queue",
    "RawSpinLock",
    "Rcu",
    "RcuWait",
    "Refcount",
    "RwLock",
    "RwSem",
    "RwSemUnfair",
    "Semaphore",
    "SeqCount",
    "SpinLock",
    "Srcu",
    "TicketLock",
    "Timer",
    "WaitQueue",
    "WaitType",
    "Work",
    "configure_preempt_rt",
    "might_sleep",
    "non_block_end",
    "non_block_start",
    "schedule",
    "set_current_state",
    "wake_up_process",
]
