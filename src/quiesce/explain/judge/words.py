# SPDX-License-Identifier: Apache-2.0
"""What locks and objects are called in an answer.

A lock is printed without ``&`` and without the variable that leads to it (``&q->elevator_lock`` is
``elevator_lock``), unless the rest says nothing (``&pool->lock``) or another lock of the report would
be called the same. The version that changes from boot to boot (``#45``) is left out, the nesting
level (``/1``) is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from quiesce.explain.read.model import PrintedLock, PrintedReport

_VAGUE = {
    "lock", "mutex", "mtx", "sem", "rwsem", "rlock", "wait", "work", "queue", "seq", "list", "wq",
    "wait_lock", "timer", "io", "sock",
}  # fmt: skip
_CAST = re.compile(r"\(\([\w ]+\*\)(\w+)\)|\([\w ]+ \*\)")
_RLOCK = re.compile(r"(?:->|\.)(?:rlock|wait_lock|dep_map)$")
_PART = re.compile(r"->|\.(?=[A-Za-z_])")
_LONGEST = 60


def short_name(base: str) -> str:
    """Return *base*, the name of a lock class without version and level, as an answer prints it."""
    if base.startswith(("(work_completion)", "(wq_completion)", "(&", "((&")):
        return _cut(_item_name(base))
    name = _CAST.sub(r"\1", base.strip())
    while True:
        inner = _RLOCK.sub("", name)
        if inner.startswith("&(") and inner.endswith(")"):
            inner = inner[1:]
        if inner.startswith("(") and inner.endswith(")") and _balanced(inner[1:-1]):
            inner = inner[1:-1]
        if inner == name:
            break
        name = inner
    name = re.sub(r"^\(([\w.>-]+)\)(?:\.lock|->lock)$", r"\1", name).lstrip("&")
    if name.endswith(".lock") and name.startswith("("):
        name = name[1:-5].rstrip(")")
    if "->" not in name:
        return _cut(name)
    owner, _, last = name.rpartition("->")
    if _bare(last) in _VAGUE:
        last = f"{_PART.split(owner)[-1].lstrip('&(')}->{last}"
    return _cut(last if _balanced(last) else name)


def _item_name(base: str) -> str:
    """Return what a work item, a workqueue or a timer is called: ``wb->dwork``, ``events``."""
    name = base.partition("_completion)")[2] or base
    while True:
        inner = _RLOCK.sub("", name).removesuffix("->work").removesuffix(".work").lstrip("&")
        if inner.startswith("(") and inner.endswith(")") and _balanced(inner[1:-1]):
            inner = inner[1:-1]
        if inner == name:
            return name
        name = inner


def _bare(member: str) -> str:
    return re.sub(r"\[[^\]]*\]", "", member).rpartition(".")[2]


def _balanced(text: str) -> bool:
    depth = 0
    for char in text:
        depth += (char in "([") - (char in ")]")
        if depth < 0:
            return False
    return depth == 0


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 3] + "..."


class LockNames:
    """The names of the locks of one report, each short as long as it is the only one of that name."""

    def __init__(self, locks: Iterable[PrintedLock]) -> None:
        bases = {lock.base for lock in locks}
        shorts = [short_name(base) for base in sorted(bases)]
        self._short = {
            base: name if shorts.count(name) == 1 else _cut(base.lstrip("&"))
            for base, name in zip(sorted(bases), shorts, strict=True)
        }

    def of(self, lock: PrintedLock) -> str:
        """Return the name of *lock* with its nesting level."""
        name = self._short.get(lock.base) or short_name(lock.base)
        return f"{name}/{lock.subclass}" if lock.subclass else name


def names_of(report: PrintedReport) -> LockNames:
    """Return the names of all locks that *report* mentions."""
    locks = [*report.held, *(link.lock for link in report.links), *report.subjects.values()]
    locks += [lock for lock in (report.wanted, report.holding) if lock is not None]
    locks += [block.lock for block in report.blocks]
    return LockNames(locks)


# --- Objects ------------------------------------------------------------------------------------------

_OBJECTS: tuple[tuple[str, str], ...] = (
    ("inode", r"[&(]*(?:\w*inode|ei|ip|ino|hip|oi|ni|bip)->.*|.*(?:_ilock|i_rwsem|i_mutex|i_data_sem"
     r"|i_mmap_sem|invalidate_lock|i_mmap_rwsem|xattr_sem|truncate_lock|truncate_mutex).*"
     r"|&delayed_node->mutex|&xfs_(?:non)?dir_ilock_class"),
    ("file system", r"sb_(?:writers|pagefaults|internal)|&type->s_umount_key|.*s_vfs_rename.*"
     r"|&(?:sb|sbi|fs_info|nilfs|mp|journal|c|osb|sdp)->.*|jbd2_handle|btrfs_trans_\w+"),
    ("queue", r"&q->.*|&set->(?:tag_list_lock|update_nr_hwq\w*)|&hctx->.*"),
    ("disk", r"&(?:disk|bdev|lo|nbd|gendisk|ns|ctrl|md|mddev)->.*"),
    ("socket", r"(?:k-)?s(?:k_|k-)?lock-AF_\w+|&(?:sk|msk|ssk|chan|conn|smc|u|unix)->.*"),
    ("process", r"&mm->.*|&(?:sig|signal|sighand|tsk|p|task)->.*"),
    ("VM", r"&(?:kvm|vm)->.*"),
    ("vCPU", r"&vcpu->.*"),
    ("device", r"&(?:dev|dev_priv|hdev|adev|i915|rdev|wdev|rtwdev|ndev|udev|hcd|bus|hub|priv)->.*"),
    ("workqueue", r"\(wq_completion\).*"),
    ("work item", r"\(work_completion\).*|\(?\(&.*work\)?(?:->work)?\)+"),
    ("timer", r"\(?\(?&?.*timer.*\)\)?"),
    ("file", r"&of->mutex|kn->active|s_active|&f->f_pos_lock|&p->lock|&ep->mtx"),
    ("tree block", r"btrfs-[\w-]+|&eb->.*"),
    ("pipe", r"&pipe->.*"),
    ("tty", r"&tty->.*|&ldata->.*|&port->.*|&port_lock_key"),
)  # fmt: skip
_OBJECT_TABLE = tuple((noun, re.compile(pattern)) for noun, pattern in _OBJECTS)
_OWNER = re.compile(r"&?\(?&?\(?([A-Za-z_]\w*)(?:->|\[)")


def object_of(lock: PrintedLock) -> str:
    """Return the noun for what *lock* is one of many of ("inode"); empty for a global lock.

    A class of which nothing is known but that its name leads over a pointer is "NAME object".
    """
    base = lock.base
    if lock.detail.startswith("witness"):  # each class of WITNESS stands for the locks of one type
        return "vnode" if lock.detail.endswith("lockmgr") else f"{short_name(base)}"
    for noun, pattern in _OBJECT_TABLE:
        if pattern.fullmatch(base):
            return noun
    match = _OWNER.match(base)
    if match is not None:
        return f"{match[1]} object"
    return "" if not base.startswith("&") else f"{short_name(base)}"


def is_global(lock: PrintedLock) -> bool:
    """True when the kernel has one lock of this class, so that its name means one object."""
    return object_of(lock) == ""
