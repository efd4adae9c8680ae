# SPDX-License-Identifier: Apache-2.0
"""Which class of the protocol language each lock of a report becomes, and how it is taken.

The functions seen taking a lock tell its kind; where none did, the wait type and the name do. A
kind is only as fine as a hang needs: a mutex, an rt_mutex and a wound/wait mutex are one here, while
a fair and a recursive reader are two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quiesce.explain.judge.annotations import Nature
from quiesce.explain.judge.cycle import Party
from quiesce.explain.judge.modes import AcquireMode
from quiesce.explain.prove.plan import Nest

PRIMITIVES = {
    "LockdepMap", "Mutex", "Rcu", "RwLock", "RwSem", "RwSemUnfair", "SeqCount", "SpinLock", "Srcu",
}  # fmt: skip
"""Classes of ``quiesce.primitives``; the others are of ``quiesce.primitives.annotations``."""

_WITH = ("with self.{x}:", "")
_READ = ("self.{x}.down_read()", "self.{x}.up_read()")


@dataclass(frozen=True)
class LockKind:
    """A class and its ways: (what takes it, what releases it), with ``{x}`` for the attribute.

    :param wait: how one waits for it without taking it, empty where that makes no sense.
    :param trylock: True if it has ``trylock()``.
    """

    constructor: str
    exclusive: tuple[str, str] = _WITH
    read: tuple[str, str] = _WITH
    recursive: tuple[str, str] = _WITH
    wait: str = ""
    trylock: bool = False

    @property
    def shared(self) -> bool:
        """True when readers can hold it together, so that a writer is another thing than they."""
        return self.read != self.exclusive


_RW_READ = ("self.{x}.read_lock()", "self.{x}.read_unlock()")
_SRCU_READ = ("{x}_index = self.{x}.srcu_read_lock()", "self.{x}.srcu_read_unlock({x}_index)")

MUTEX = LockKind("Mutex", trylock=True)
SPINLOCK = LockKind("SpinLock", trylock=True)
SOCKET = LockKind("SocketLock")
CONSOLE = LockKind("ConsoleLock", trylock=True)
RWSEM = LockKind("RwSem", read=_READ, recursive=_READ)
UNFAIR = LockKind("RwSemUnfair", read=_READ, recursive=_READ)
PERCPU = LockKind("PercpuRwSem", read=_READ, recursive=_READ)
RWLOCK = LockKind("RwLock", read=_RW_READ, recursive=_RW_READ)
IRQ_RWLOCK = LockKind(
    "IrqRwLock",
    read=_RW_READ,
    recursive=("self.{x}.read_lock_in_irq()", "self.{x}.read_unlock()"),
)
SEQCOUNT = LockKind(
    "SeqCount",
    read=("self.{x}.read_seqcount_begin()", ""),
    recursive=("self.{x}.read_seqcount_begin()", ""),
)
SRCU = LockKind("Srcu", ("self.{x}.synchronize_srcu()", ""), _SRCU_READ, _SRCU_READ)
RCU = LockKind("Rcu", ("self.{x}.synchronize_rcu()", ""))
SECTION = LockKind("Section", wait="self.{x}.wait_for_end()")
FREEZABLE = LockKind("Freezable", ("self.{x}.freeze()", "self.{x}.unfreeze()"))
CONTEXT = LockKind("LockdepMap")
EXCLUSIVE_MAP = LockKind("ExclusiveMap")

_BY_PRIMITIVE = (
    ("seqcount", SEQCOUNT), ("percpu_rwsem", PERCPU), ("rwsem", RWSEM), ("rwlock", RWLOCK),
    ("ldsem", RWSEM), ("spinlock", SPINLOCK), ("socket lock", SOCKET),
    ("console semaphore", CONSOLE), ("mutex", MUTEX), ("ww_mutex", MUTEX), ("rt_mutex", MUTEX),
)  # fmt: skip
_BY_NAME = (
    (("sb_", "cpu_hotplug"), PERCPU),
    (("sk_lock-", "k-sk_lock-"), SOCKET),
    (("console_lock",), CONSOLE),
    (("&tty->ldisc_sem",), RWSEM),
)
_SPINS = 2


def kind_of(parties: Sequence[Party]) -> LockKind:
    """Return what the class of *parties*, all of one lock class, stands for.

    :param parties: every way in which the report shows it, at least one.
    """
    lock, note = parties[0].lock, parties[0].note
    if note.nature is Nature.CONTEXT:
        return CONTEXT
    if note.nature is Nature.RCU:
        return RCU
    if note.nature is Nature.WAIT:
        if note.readers == "recursive":
            return SRCU
        # dma_fence_begin_signalling() only tries: no task waits to get in.
        fair = note.readers == "fair" and lock.base != "dma_fence_map"
        return FREEZABLE if fair else SECTION
    if note.nature is Nature.HOME_MADE and note.readers == "recursive":
        return SEQCOUNT
    for prefixes, kind in _BY_NAME:
        if note.nature is Nature.HOME_MADE and lock.base.startswith(prefixes):
            return kind
    return _lock_kind(parties)


def _lock_kind(parties: Sequence[Party]) -> LockKind:
    primitives = {party.how.primitive for party in parties}
    modes = {party.how.mode for party in parties}
    reads = any(mode.reads for mode in modes)
    spins = any(party.lock.inner == _SPINS for party in parties)
    found = next((kind for name, kind in _BY_PRIMITIVE if name in primitives), None)
    if found is None:
        if reads:
            found = RWLOCK if spins else RWSEM
        else:
            found = SPINLOCK if spins else MUTEX
    if reads and not found.shared:
        found = RWLOCK if found is SPINLOCK else RWSEM
    if found is RWLOCK and AcquireMode.RECURSIVE_READ in modes:
        found = IRQ_RWLOCK
    return found


def drawn_kind_of(parties: Sequence[Party]) -> LockKind:
    """Return the lock that lockdep takes the class of *parties* for."""
    if not parties[0].note.nature.is_annotation or parties[0].note.nature is Nature.UNKNOWN_MAP:
        return kind_of(parties)
    modes = {party.how.mode for party in parties}
    if AcquireMode.READ in modes:
        return RWSEM
    if AcquireMode.RECURSIVE_READ in modes:
        return UNFAIR
    return EXCLUSIVE_MAP


def nest(kind: LockKind, party: Party, attribute: str, *, wanted: bool, comment: str = "") -> Nest:
    """Return the statement by which *party*'s lock is taken.

    :param wanted: True for the second lock of a path, False for the one that is held already.
    """
    mode = party.how.mode
    if wanted and party.how.trylock and kind.trylock:
        return Nest(f"if self.{attribute}.trylock():", f"self.{attribute}.unlock()", comment)
    if wanted and party.how.trylock:
        return Nest("pass", comment=f"{party.how.function}() only tries: no task waits.")
    if wanted and kind.wait and not mode.reads:
        return Nest(kind.wait.format(x=attribute), comment=comment)
    if mode is AcquireMode.RECURSIVE_READ:
        take, release = kind.recursive
    elif mode is AcquireMode.READ or (mode is AcquireMode.UNKNOWN and kind.shared):
        take, release = kind.read
    else:
        take, release = kind.exclusive
    return Nest(take.format(x=attribute), release.format(x=attribute), comment)


def enter(kind: LockKind, party: Party, attribute: str, comment: str = "") -> Nest:
    """Return the statement by which a task enters what no task waits for."""
    if kind.wait or kind is RCU:
        return Nest(kind.read[0].format(x=attribute), "", comment)
    return nest(kind, party, attribute, wanted=False, comment=comment)


def write(kind: LockKind, attribute: str) -> Nest:
    """Return the statement by which a writer takes the lock."""
    take, release = kind.exclusive
    return Nest(take.format(x=attribute), release.format(x=attribute))
