# SPDX-License-Identifier: Apache-2.0
"""The kernel's locks and ways of waiting, each defined once in the protocol language.

Nothing here is known to the compiler or to the explorers: a lock is a class whose atomic methods say
what they acquire and release. Names, also those in traces, are the kernel's.
"""

from quiesce.primitives.atomic import Atomic
from quiesce.primitives.base import Lock, WaitType, might_sleep
from quiesce.primitives.completion import Completion
from quiesce.primitives.lockdep_map import LockdepMap
from quiesce.primitives.mutex import Mutex
from quiesce.primitives.non_block import non_block_end, non_block_start
from quiesce.primitives.rcu import Rcu
from quiesce.primitives.rcuwait import RcuWait
from quiesce.primitives.rwlock import RwLock
from quiesce.primitives.rwsem import RwSem, RwSemUnfair
from quiesce.primitives.schedule import schedule, set_current_state, wake_up_process
from quiesce.primitives.seqcount import SeqCount
from quiesce.primitives.spinlock import RawSpinLock, SpinLock, configure_preempt_rt
from quiesce.primitives.srcu import Srcu
from quiesce.primitives.waitqueue import WaitQueue

__all__ = [
    "Atomic",
    "Completion",
    "Lock",
    "LockdepMap",
    "Mutex",
    "RawSpinLock",
    "Rcu",
    "RcuWait",
    "RwLock",
    "RwSem",
    "RwSemUnfair",
    "SeqCount",
    "SpinLock",
    "Srcu",
    "WaitQueue",
    "WaitType",
    "configure_preempt_rt",
    "might_sleep",
    "non_block_end",
    "non_block_start",
    "schedule",
    "set_current_state",
    "wake_up_process",
]
