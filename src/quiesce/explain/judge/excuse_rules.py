# SPDX-License-Identifier: Apache-2.0
"""The rules of the table of excuses, by their letters. See ``excuses``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from quiesce.explain.judge.annotations import look_up
from quiesce.explain.judge.cycle import Blocking, HoldingPath
from quiesce.explain.judge.excuses import Excuse, ExcuseCase, Rule, Weight
from quiesce.explain.judge.ladder import addresses, allocates, function_of
from quiesce.explain.judge.modes import plain_name
from quiesce.explain.judge.objects import driver_of, is_new_object, lifetime_of
from quiesce.explain.judge.triggers import trigger_of
from quiesce.explain.judge.words import object_of

_EVICTION = re.compile(
    r"evict|evict_inodes|prune_icache_sb|dispose_list|inode_lru_isolate|destroy_inode|\w+_evict_inode"
    r"|\w+_destroy_inode|xfs_icwalk\w*|xfs_reclaim_inode\w*|xfs_inode_mark_reclaimable|xfs_inactive\w*"
    r"|\w+_inode_needs_inactive|\w+_drop_inode|\w+_clear_inode|iput_final|\w+_free_inode"
)
_WRITEBACK = re.compile(
    r"pageout|swap_writepage|shmem_writepage|\w+_writepages?|writepage|submit_bio\w*"
)
_RECLAIM = re.compile(
    r"try_to_free_pages|do_try_to_free_pages|shrink_(?:node|slab|zone|lruvec)\w*|balance_pgdat|kswapd"
    r"|do_shrink_slab|super_cache_scan|__perform_reclaim|drop_slab\w*|shrink_all_memory"
)


def _trylock(case: ExcuseCase) -> Iterator[Excuse]:
    """(h): the wanted lock is only tried."""
    for wait in case.cycle.as_drawn:
        if wait.wanted.how.trylock and wait.blocking is Blocking.NEVER:
            name = case.names.of(wait.wanted.lock)
            yield Excuse(
                "h",
                Weight.EXCLUDES,
                f"row {wait.waiter + 1} only tries {name} ({wait.wanted.how.function}()). It does "
                "not wait.",
                rows=(wait.waiter + 1,),
            )


def _recursive_readers(case: ExcuseCase) -> Iterator[Excuse]:
    """(a): both sides read, and the readers are recursive."""
    for wait in case.cycle.as_drawn:
        if wait.blocking is Blocking.NEVER and not wait.wanted.how.trylock:
            name, row, other = case.names.of(wait.wanted.lock), wait.waiter + 1, wait.holder + 1
            both = "both times" if row == other else f"in rows {row} and {other}"
            yield Excuse(
                "a",
                Weight.EXCLUDES,
                f"{name} is only read {both}, and a reader of it never waits for another reader "
                f"({wait.wanted.how.function}()).",
                rows=(row, other),
            )


def _nobody_waits(case: ExcuseCase) -> Iterator[Excuse]:
    """(i): every name of the cycle is a context that a task only enters."""
    if not case.cycle.tasks:
        yield Excuse(
            "i",
            Weight.EXCLUDES,
            "no task waits for another one: each path of the cycle only enters a context.",
        )


def _two_objects(case: ExcuseCase) -> Iterator[Excuse]:
    """(c): one task holds one object of a class and wants another one, by their addresses."""
    if not case.cycle.on_itself:
        return
    pair = addresses(case.report)
    path = case.cycle.paths[0]
    if pair is None or pair[0] == pair[1]:
        return
    noun = object_of(path.wants.lock) or "lock"
    yield Excuse(
        "c",
        Weight.EXCLUDES,
        f"the two locks belong to two {_plural(noun)}. The task holds {pair[0]} and wants {pair[1]}.",
        notes=(
            "Only a path that takes the two in the other order could hang with this one; the report "
            "shows none.",
        ),
        rows=(1,),
    )


def _plural(noun: str) -> str:
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"


def in_reclaim(path: HoldingPath) -> bool:
    """True if *path* runs in memory reclaim, direct or by kswapd."""
    if path.holds.lock.base == "fs_reclaim":
        return True
    return any(_RECLAIM.fullmatch(plain_name(f.function)) for f in path.frames if f.reliable)


def evicts(path: HoldingPath) -> bool:
    """True if *path* gives up an object that is not in use any more, rather than write one back."""
    names = [plain_name(frame.function) for frame in path.frames if frame.reliable]
    inner = names[: next((i for i, n in enumerate(names) if _RECLAIM.fullmatch(n)), len(names))]
    if any(_WRITEBACK.fullmatch(name) for name in inner):
        return False
    return any(_EVICTION.fullmatch(name) for name in names)


def _referenced(case: ExcuseCase) -> Iterator[Excuse]:
    """(f): reclaim evicts an object, and the other side has one of that class in use."""
    for index, path in enumerate(case.cycle.paths):
        noun = object_of(path.wants.lock)
        if noun != "inode" or not in_reclaim(path) or not evicts(path):
            continue
        name, row = case.names.of(path.wants.lock), index + 1
        if case.cycle.on_itself:
            yield Excuse(
                "f",
                Weight.NOTES,
                "reclaim evicts only inodes without users",
                notes=(
                    "Reclaim evicts only inodes without users (inferred), so the inode that it wants "
                    "cannot be the one in use. A path with the other order would need the same.",
                ),
                fixes=(_nolockdep(case, path, "Pass"),),
                rows=(row,),
            )
            return
        holder = (index + 1) % len(case.cycle.paths) + 1
        where = function_of(case.cycle.paths[holder - 1])
        allocating = next(
            (p for p in case.cycle.paths if allocates(p)), case.cycle.paths[holder - 1]
        )
        yield Excuse(
            "f",
            Weight.ASKS,
            f"can the inode that reclaim evicts in row {row} be the inode whose {name} is held in "
            f"row {holder}?",
            notes=(
                f"Against it: {where}() works on an inode that it has a reference to, and reclaim "
                "evicts only inodes without users (inferred). Not shown: other paths that allocate.",
            ),
            fixes=(
                f"If it never is: {_nolockdep(case, allocating)}",
                f"If it can be: allocate before {case.names.of(allocating.holds.lock)} is taken, in "
                f"{function_of(allocating)}() or its caller.",
            ),
            rows=(row, holder),
        )
        return


def _nolockdep(case: ExcuseCase, path: HoldingPath, verb: str = "pass") -> str:
    where = function_of(path)
    if case.cycle.on_itself:
        allocating = next(
            (plain_name(f.function) for f in reversed(path.frames) if "alloc_pages" in f.function),
            "",
        )
        index = next(
            (i for i, f in enumerate(path.frames) if plain_name(f.function) == allocating), -1
        )
        outer = path.frames[index + 1 :] if index >= 0 else ()
        where = next(
            (plain_name(f.function) for f in outer if f.reliable and "alloc" not in f.function),
            where,
        )
    return (
        f"{verb} __GFP_NOLOCKDEP to the allocation in {where}(). It silences lockdep and changes "
        "nothing else."
    )


def _reacquired(case: ExcuseCase) -> Iterator[Excuse]:
    """(j): a link is no acquisition: lockdep put a held lock back in when another was released."""
    for index, path in enumerate(case.cycle.paths):
        if not path.reacquired:
            continue
        row, name = index + 1, case.names.of(path.wants.lock)
        noun = object_of(path.wants.lock) or "lock"
        yield Excuse(
            "j",
            Weight.ASKS,
            f"does any path take {name} while it holds {case.names.of(path.holds.lock)}? Row {row} "
            "only shows a release.",
            notes=(
                f"Row {row} is not an acquisition: {path.reacquired}() released a lock that was not "
                f"the last one taken, and lockdep then put {name} back in.",
                f"The {noun} may have got its class after it was locked, as when it moves to another "
                "tree: then the order that lockdep saw never existed.",
            ),
            fixes=(
                f"If the {noun} changed its use: set the class of its lock again where that "
                f"happens (lockdep_set_class()), before {path.reacquired}() releases.",
                f"If the order is real: take {name} first, in {path.reacquired}().",
            ),
            rows=(row,),
        )
        return


def _parent_and_child(case: ExcuseCase) -> Iterator[Excuse]:
    """(c): the names of the classes tell two objects of one kind apart."""
    paths = case.cycle.paths
    if case.cycle.on_itself:
        return
    locks = [path.wants.lock for path in paths if not path.passes]
    nouns = {object_of(lock) for lock in locks}
    if len(nouns) != 1 or nouns & {"", "queue", "file system", "workqueue", "VM", "socket"}:
        return
    noun = next(iter(nouns))
    owners = {_owner(lock.base) for lock in locks}
    levels = sorted({lock.subclass for lock in locks if lock.subclass})
    special = sorted(owner for owner in owners if owner and owner not in _COMMON_OWNERS)
    if not levels and not (special and len(owners) > 1):
        return
    names = ", ".join(sorted({case.names.of(lock) for lock in locks}))
    signs = []
    if special and len(owners) > 1:
        signs.append(f"one class is that of {special[0]}")
    if levels:
        signs.append(f"nesting level{'s' if len(levels) > 1 else ''} {', '.join(map(str, levels))}")
    first = paths[0]
    yield Excuse(
        "c",
        Weight.ASKS,
        f"is the {noun} whose {case.names.of(first.wants.lock)} row 1 wants the {noun} that the "
        f"other rows mean? The classes ({names}) tell two {_plural(noun)} apart.",
        notes=(
            f"Against it: the names say that these are two {_plural(noun)} ({'; '.join(signs)}). If "
            f"they are always locked in one order, the cycle does not exist.",
        ),
        fixes=(
            f"If they are two {_plural(noun)} in a fixed order: annotate it, with a nesting level or a "
            f"class of its own for the inner one, in {function_of(first)}().",
            f"If it can be one: do not take {case.names.of(first.wants.lock)} with "
            f"{case.names.of(first.holds.lock)} held, in {function_of(first)}().",
        ),
        rows=tuple(range(1, len(paths) + 1)),
    )


_COMMON_OWNERS = {"inode", "ei", "ip", "dir", "sb", "mm", "dev", "sk", "q"}


def _owner(base: str) -> str:
    match = re.match(r"[&(]*(\w+)->", base)
    return match[1] if match else ""


def _other_drivers(case: ExcuseCase) -> Iterator[Excuse]:
    """(c): the stacks of one class come from different drivers, so they mean different objects."""
    paths = case.cycle.paths
    for index, path in enumerate(paths):
        after = paths[(index + 1) % len(paths)]
        noun = object_of(path.wants.lock)
        if (
            path.passes
            or path.declared
            or case.cycle.on_itself
            or noun not in ("queue", "disk", "socket", "tty")
        ):
            continue
        one, other = driver_of(path.frames, noun), driver_of(after.frames, noun)
        if not one or not other or one == other:
            continue
        name, row = case.names.of(path.wants.lock), index + 1
        holder = (index + 1) % len(paths) + 1
        yield Excuse(
            "c",
            Weight.ASKS,
            f"can {name} of row {row} ({one}) and of row {holder} ({other}) belong to one {noun}?",
            notes=(
                f"Against it: the stacks are those of two drivers, {one} and {other} (inferred from "
                f"the names of functions). A class stands for the locks of all {_plural(noun)}.",
            ),
            fixes=(
                f"If they are two {_plural(noun)}: give {name} a class for each driver "
                "(lockdep_set_class()).",
            ),
            rows=(row, holder),
        )
        return


def _new_or_dying(case: ExcuseCase) -> Iterator[Excuse]:
    """(e): an object of a row is being set up or taken down, so that others may not reach it."""
    paths = case.cycle.paths
    if case.cycle.on_itself:
        return
    for index, path in enumerate(paths):
        if path.declared or path.reacquired:
            continue
        noun = object_of(path.holds.lock)
        before = paths[index - 1]
        function = is_new_object(noun, path.frames) or lifetime_of(noun, path.frames)
        if not function or is_new_object(noun, before.frames) or before.passes:
            continue
        row, waiting = index + 1, (index - 1) % len(paths) + 1
        setup = bool(is_new_object(noun, path.frames))
        what = "is setting up" if setup else "is taking down"
        yield Excuse(
            "e",
            Weight.ASKS,
            f"can the task of row {waiting} reach the {noun} that row {row} {what}?",
            notes=(
                f"Against it: row {row} runs in {function}(), where the {noun} is "
                f"{'not yet' if setup else 'no longer'} in use by others (inferred). Not shown: "
                "other paths with the same order.",
            ),
            fixes=(
                f"If it cannot: give the lock of a {noun} that is {'new' if setup else 'dying'} a class "
                f"of its own, in {function}().",
                *_if_it_can(case, path),
            ),
            rows=(waiting, row),
        )
        return


def _if_it_can(case: ExcuseCase, path: HoldingPath) -> tuple[str, ...]:
    held, function = case.names.of(path.holds.lock), function_of(path)
    if allocates(path):
        return (f"If it can: allocate before {held} is taken, in {function}() or its caller.",)
    wanted = case.names.of(path.wants.lock)
    if path.passes or path.wants.note.nature.is_annotation:
        return ()
    return (f"If it can: take {wanted} before {held}, in {function}() or its caller.",)


_GATES: tuple[tuple[str, str], ...] = (
    (r"rtnetlink_rcv_msg|rtnl_(?:new|set|del)link|dev_ioctl|devinet_ioctl|inet_ioctl", "rtnl_mutex"),
    (r"(?:un)?register_netdev|default_device_exit_batch|unregister_netdevice_many\w*", "rtnl_mutex"),
    (r"genl_rcv_msg|genl_family_rcv_msg\w*", "cb_lock"),
    (r"cgroup_attach_task|cgroup_migrate\w*|cgroup_apply_control\w*|css_killed_work_fn", "cgroup_mutex"),
    (r"_cpu_up|_cpu_down|cpuhp_invoke_callback", "cpu_hotplug_lock"),
    (r"ftrace_startup|ftrace_shutdown|register_ftrace_graph", "ftrace_lock"),
    (r"do_init_module", ""),
)  # fmt: skip
"""Functions that run with a global lock held, by the kernel source."""


def _gate(case: ExcuseCase) -> Iterator[Excuse]:
    """(d): a lock outside of the cycle is held on all of its paths."""
    report, paths = case.report, case.cycle.paths
    if case.cycle.on_itself:
        return
    in_cycle = {p.wants.lock.base for p in paths} | {p.holds.lock.base for p in paths}
    for lock in report.held:
        if lock.base in in_cycle or object_of(lock) or look_up(lock).nature.is_annotation:
            continue
        if not all(_runs_with(path, lock.base) for path in paths if not path.current):
            continue
        name = case.names.of(lock)
        yield Excuse(
            "d",
            Weight.ASKS,
            f"is {name} held exclusively in all rows? Then no two of them run at the same time.",
            notes=(
                f"For it: row 1 holds {name} (printed), and the other rows run in functions that are "
                "called with it held (inferred).",
            ),
            fixes=(
                f"If it is: tell lockdep that {name} protects the order (a nest lock, or one class "
                "for both).",
            ),
            rows=tuple(range(1, len(paths) + 1)),
        )
        return


def _runs_with(path: HoldingPath, gate: str) -> bool:
    names = [plain_name(frame.function) for frame in path.frames if frame.reliable]
    return any(
        base == gate and re.fullmatch(pattern, name)
        for pattern, base in _GATES
        for name in names
        if base
    )


def _suspended(case: ExcuseCase) -> Iterator[Excuse]:
    """(g): a row runs while user space is frozen or other CPUs are stopped."""
    paths = case.cycle.paths
    if case.cycle.on_itself:
        return
    for index, path in enumerate(paths):
        if trigger_of(path.frames).seen != "suspend":
            continue
        others = [
            number + 1
            for number, other in enumerate(paths)
            if number != index and trigger_of(other.frames).seen.endswith("()")
            and trigger_of(other.frames).who == "any task"
        ]  # fmt: skip
        if not others:
            continue
        yield Excuse(
            "g",
            Weight.ASKS,
            f"can row {others[0]}, a system call, run while row {index + 1} suspends the system? User "
            "space is frozen then.",
            rows=(index + 1, others[0]),
        )
        return


def _boot_only(case: ExcuseCase) -> Iterator[Excuse]:
    """(g): all rows were seen at boot, in one task."""
    paths = case.cycle.paths
    if case.cycle.on_itself or any(trigger_of(path.frames).seen != "boot" for path in paths):
        return
    others = "row 2" if len(paths) == 2 else f"rows 2 to {len(paths)}"
    yield Excuse(
        "g",
        Weight.ASKS,
        f"can {others} run again after boot, beside row 1? All rows were seen at boot.",
        notes=(
            "Against it: at boot one task runs all initcalls, one after the other (inferred). For it: "
            "lockdep keeps the first stack it sees; the same functions may run later.",
        ),
        rows=tuple(range(1, len(paths) + 1)),
    )


RULES: tuple[Rule, ...] = (
    Rule("a", "all readers are recursive", "the functions that take the lock", _recursive_readers),
    Rule("h", "trylock", "the function that takes the lock", _trylock),
    Rule("i", "no task waits for an annotation", "the table of annotations", _nobody_waits),
    Rule("c", "two objects of one class", "the addresses of a recursive report", _two_objects),
    Rule("f", "reclaim cannot reach an object in use", "functions that evict inodes", _referenced),
    Rule("j", "lockdep put a held lock back in", "reacquire_held_locks() in a link", _reacquired),
    Rule(
        "c", "two objects, by the names of classes", "owners and nesting levels", _parent_and_child
    ),
    Rule("c", "objects of different drivers", "prefixes of functions", _other_drivers),
    Rule("e", "the object is new or dying", "functions that set up or take down", _new_or_dying),
    Rule("d", "a gate lock on all paths", "held locks; functions that run with one", _gate),
    Rule("g", "the context excludes it", "suspend and resume", _suspended),
    Rule("g", "seen at boot only", "the boot task in all links", _boot_only),
)
"""The table, in the order in which the rules are asked."""
