# SPDX-License-Identifier: Apache-2.0
"""What the package offers, for type checkers; ``__init__.py`` imports it when it is asked for."""

from quiesce.explain.log import Explained
from quiesce.primitives import Atomic as Atomic
from quiesce.primitives import Completion as Completion
from quiesce.primitives import Lock as Lock
from quiesce.primitives import LockdepMap as LockdepMap
from quiesce.primitives import Mutex as Mutex
from quiesce.primitives import RawSpinLock as RawSpinLock
from quiesce.primitives import Rcu as Rcu
from quiesce.primitives import RcuWait as RcuWait
from quiesce.primitives import RwLock as RwLock
from quiesce.primitives import RwSem as RwSem
from quiesce.primitives import RwSemUnfair as RwSemUnfair
from quiesce.primitives import SeqCount as SeqCount
from quiesce.primitives import SpinLock as SpinLock
from quiesce.primitives import Srcu as Srcu
from quiesce.primitives import WaitQueue as WaitQueue
from quiesce.primitives import WaitType as WaitType
from quiesce.primitives import configure_preempt_rt as configure_preempt_rt
from quiesce.primitives import might_sleep as might_sleep
from quiesce.primitives import non_block_end as non_block_end
from quiesce.primitives import non_block_start as non_block_start
from quiesce.primitives import schedule as schedule
from quiesce.primitives import set_current_state as set_current_state
from quiesce.primitives import wake_up_process as wake_up_process
from quiesce.protocol import EXCLUSIVE as EXCLUSIVE
from quiesce.protocol import READ_ONCE as READ_ONCE
from quiesce.protocol import SHARED as SHARED
from quiesce.protocol import SHARED_RECURSIVE as SHARED_RECURSIVE
from quiesce.protocol import TASK_RUNNING as TASK_RUNNING
from quiesce.protocol import TASK_UNINTERRUPTIBLE as TASK_UNINTERRUPTIBLE
from quiesce.protocol import THREADS as THREADS
from quiesce.protocol import WRITE_ONCE as WRITE_ONCE
from quiesce.protocol import Array as Array
from quiesce.protocol import Bool as Bool
from quiesce.protocol import Enum as Enum
from quiesce.protocol import Int as Int
from quiesce.protocol import Mode as Mode
from quiesce.protocol import PerTask as PerTask
from quiesce.protocol import Protocol as Protocol
from quiesce.protocol import Ref as Ref
from quiesce.protocol import Scenario as Scenario
from quiesce.protocol import Set as Set
from quiesce.protocol import Snapshot as Snapshot
from quiesce.protocol import Task as Task
from quiesce.protocol import TaskRef as TaskRef
from quiesce.protocol import TaskSet as TaskSet
from quiesce.protocol import TaskState as TaskState
from quiesce.protocol import Version as Version
from quiesce.protocol import acquires as acquires
from quiesce.protocol import always as always
from quiesce.protocol import atomic as atomic
from quiesce.protocol import choose as choose
from quiesce.protocol import current as current
from quiesce.protocol import eventually as eventually
from quiesce.protocol import known_as as known_as
from quiesce.protocol import releases as releases
from quiesce.protocol import shared as shared
from quiesce.protocol import sometimes as sometimes
from quiesce.protocol import thread as thread
from quiesce.protocol import wait_until as wait_until
from quiesce.testing import check as check
from quiesce.testing import replay as replay

__all__: list[str]
__version__: str

def explain(text: str) -> tuple[Explained, ...]: ...
