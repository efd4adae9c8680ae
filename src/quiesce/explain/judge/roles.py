# SPDX-License-Identifier: Apache-2.0
"""How an answer says that a task holds or wants a lock, and what it says of an annotation.

An annotation is never printed as a lock: "has frozen the queue", "reclaims memory", "runs work item
wb->dwork". Some have two roles with different words: a queue is entered by some and frozen by others,
and each side waits for the other one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from quiesce.explain.judge.annotations import Nature
from quiesce.explain.judge.cycle import Party
from quiesce.explain.judge.modes import AcquireMode
from quiesce.explain.judge.words import LockNames


@dataclass(frozen=True)
class RoleWords:
    """The words for one kind of annotation; ``{}`` stands for its short name.

    :param inside: what a task that is inside does or has; *enter*: what one does that gets there.
    :param closed: what a task has done that keeps others out; *close*: what one does to get there.
        Both are empty where only one role exists.
    """

    inside: str
    enter: str
    closed: str = ""
    close: str = ""


_ROLES: tuple[tuple[str, RoleWords], ...] = (
    (r"fs_reclaim", RoleWords("in reclaim", "reclaims memory")),
    (r"(?:__)?mmu_notifier_invalidate_range_start(?:_map)?",
     RoleWords("in a notifier", "enters a notifier")),
    (r"\(wq_completion\).*",
     RoleWords("runs an item of workqueue {}", "runs an item of workqueue {}", "", "flushes workqueue {}")),
    (r"\(work_completion\).*|\(?\(&.*work\)?(?:->work)?\)+|\(\(.*\)\.work\)|\(\w*work\w*\)",
     RoleWords("runs work item {}", "runs work item {}", "", "waits for work item {}")),
    (r"\(?\(&.*timer.*\)|\(timer\)|\(\(.*timer.*\)\)",
     RoleWords("runs timer {}", "runs timer {}", "", "waits for timer {}")),
    (r"&q->q_usage_counter(?:\((?:io|queue)\))?",
     RoleWords("is using the queue", "waits to enter the queue", "has frozen the queue",
          "freezes the queue and waits until it is unused")),
    (r"jbd2_handle",
     RoleWords("has a running jbd2 handle", "waits to start a jbd2 handle",
          "waits for the jbd2 commit", "waits for the jbd2 commit")),
    (r"kn->active|s_active|&kn->active.*",
     RoleWords("is using a sysfs file", "opens a sysfs file for use",
          "removes the sysfs file", "waits until the sysfs file is unused")),
    (r"btrfs_trans_num_\w+|btrfs_ordered_extent|btrfs_trans_\w+|btrfs_state_change_\w+",
     RoleWords("is inside {}", "waits to enter {}", "waits for {}", "waits for {}")),
    (r"rcu_read_lock\w*|rcu_callback|rcu_tasks_trace.*",
     RoleWords("is in an RCU reader", "enters an RCU reader", "", "waits for RCU readers")),
    (r"dma_fence_map",
     RoleWords("has to signal a DMA fence", "starts to signal a DMA fence", "", "waits for a DMA fence")),
    (r"\w+_ww_class_acquire", RoleWords("is in a ww_mutex context", "starts a ww_mutex context")),
    (r"cpuhp_state(?:-up|-down)?",
     RoleWords("runs CPU hotplug callbacks", "runs CPU hotplug callbacks", "",
          "waits for CPU hotplug callbacks")),
    (r"console_owner", RoleWords("prints to the console", "waits for the console owner")),
    (r"\((?:complete|completion)\).*", RoleWords("has to complete {}", "waits for completion {}")),
    (r"(?!.*(?:mutex|lock|work|wq)).*srcu.*",
     RoleWords("is in an SRCU reader of {}", "enters an SRCU reader of {}", "",
          "waits for the SRCU readers of {}")),
)  # fmt: skip
_TABLE = tuple((re.compile(pattern), role) for pattern, role in _ROLES)
_LOCK_MODES = {
    AcquireMode.READ: " (read)",
    AcquireMode.RECURSIVE_READ: " (read)",
    AcquireMode.EXCLUSIVE: "",
    AcquireMode.SYNC: "",
    AcquireMode.UNKNOWN: "",
}
_SHARED_PRIMITIVES = ("rwsem", "percpu_rwsem", "rwlock", "ldsem")


def role_of(base: str) -> RoleWords | None:
    """Return the words for the annotation *base*; None if it has no words of its own."""
    for pattern, role in _TABLE:
        if pattern.fullmatch(base):
            return role
    return None


def lock_with_mode(party: Party, names: LockNames) -> str:
    """Return the lock's name, with the mode if it is known and there is more than one."""
    name, mode = names.of(party.lock), party.how.mode
    if mode is AcquireMode.EXCLUSIVE and party.how.primitive in _SHARED_PRIMITIVES:
        return f"{name} (write)"
    return name + _LOCK_MODES[mode]


def holds(party: Party, names: LockNames) -> str:
    """Return what the holder of *party*'s lock has or does, as a verb phrase."""
    role = role_of(party.lock.base) if party.note.nature.is_annotation else None
    if role is None:
        if party.note.nature is Nature.CONTEXT:
            return f"is in {names.of(party.lock)}"
        return f"holds {lock_with_mode(party, names)}"
    text = role.closed if role.closed and party.how.mode is AcquireMode.EXCLUSIVE else role.inside
    return text.format(names.of(party.lock))


def wants(party: Party, names: LockNames, passes: bool = False) -> str:
    """Return what the task does that wants *party*'s lock, as a verb phrase.

    :param passes: True if taking it makes no task wait, as when a worker starts its item.
    """
    role = role_of(party.lock.base) if party.note.nature.is_annotation else None
    if role is None:
        if party.note.nature is Nature.CONTEXT:
            return f"enters {names.of(party.lock)}"
        return f"waits for {lock_with_mode(party, names)}"
    closes = role.close and not party.how.mode.reads and not passes
    return (role.close if closes else role.enter).format(names.of(party.lock))
