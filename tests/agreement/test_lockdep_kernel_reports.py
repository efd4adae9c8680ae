# SPDX-License-Identifier: Apache-2.0
"""What we print against what a real 6.12 kernel printed, line by line, in both configurations.

Each demo is written here as the events that the demo's function makes, and before them those of the
boot that show in its report: usage that a class already had, names already taken, and where
interrupts last went on and off. One event a line: ``op lock mode @function``; the function is the
demo's own where none is given.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from conftest import DATA

from quiesce.lockdep import Frame, LockdepMap, Report, Validator, WaitType
from quiesce.lockdep.cases import Case, parse_cases
from quiesce.lockdep.normalise import normalise
from quiesce.lockdep.replay import CaseReplay

CONFIGURATIONS = {"reports": False, "reports_rawnest": True}

# Lines "lock ALIAS WAIT [NAME]" declare a lock, of a class of its own; "like ALIAS OTHER" declares
# one more of a class. "forget" turns the validator on again, as the demo module did between demos.
DEMOS = {
    "circular2": """
        lock mA SLEEP / lock mB SLEEP
        acquire mA / acquire mB / release mB / release mA / acquire mB / acquire mA
    """,
    "circular3": """
        lock mC SLEEP / lock mD SLEEP / lock mE SLEEP
        acquire mC / acquire mD / release mD / release mC
        acquire mD / acquire mE / release mE / release mD
        acquire mE / acquire mC
    """,
    "circular_rlock_both": """
        lock rB SLEEP / lock rC SLEEP
        acquire rB r / acquire rC r / release rC / release rB / acquire rC r / acquire rB r
    """,
    "kvm_splat": """
        lock mmap SLEEP &mm->mmap_lock / lock slots SLEEP &kvm->mmu_notifier_slots_lock
        lock pseudo INV mmu_notifier_invalidate_range_start
        acquire mmap r @do_user_addr_fault
        acquire pseudo W @__mmu_notifier_invalidate_range_start
        acquire slots r @down_read,kvm_mmu_notifier_invalidate_range_start
        release pseudo @__mmu_notifier_invalidate_range_start
        acquire pseudo W @__mmu_notifier_invalidate_range_end
    """,
    "kvm_splat_with_writer": """
        lock pseudo1 INV mmu_notifier_invalidate_range_start
        lock pseudo2 INV mmu_notifier_invalidate_range_start
        lock slots1 SLEEP &kvm->mmu_notifier_slots_lock
        acquire pseudo1 / release pseudo1 / acquire pseudo2 / release pseudo2
        acquire slots1 / release slots1
        lock slots_lock SLEEP &kvm->slots_lock / lock slots SLEEP &kvm->mmu_notifier_slots_lock
        lock pseudo INV mmu_notifier_invalidate_range_start
        acquire slots_lock / acquire slots / release slots / release slots_lock
        acquire pseudo / acquire slots r / release pseudo / acquire pseudo
    """,
    "bfs_mark_control": """
        lock A INV cbfsA / lock B INV cbfsB / lock C INV cbfsC / lock D INV cbfsD
        acquire A / acquire D / release D / release A
        acquire D / acquire C / release C / release D
        acquire A / acquire B R / release B / release A
        acquire B r / acquire C / release C / release B
        acquire C / acquire A
    """,
    "sync": """
        lock srcu INV &kvm->srcu / lock mK SLEEP
        acquire srcu r / acquire mK / release mK / release srcu / acquire mK / sync srcu W
    """,
    "sync_self": """
        lock srcu1 INV &kvm->srcu / lock srcu2 INV &kvm->srcu / lock srcu INV &kvm->srcu
        acquire srcu1 r / release srcu1 / acquire srcu2 r / release srcu2
        acquire srcu r / sync srcu W
    """,
    "recursive": """
        lock x0 SLEEP &x[i] / like x1 x0
        acquire x0 / acquire x1 W @{tail_call}
    """,
    "recursive_subclass": """
        lock y SLEEP &x[i] / acquire y / release y
        lock x0 SLEEP &x[i] / like x1 x0 / like x2 x0
        acquire x0 / acquire x1 W:sub=1 / acquire x2 W:sub=1 @{tail_call}
    """,
    "inconsistent_hard": """
        lock sA CONFIG
        bh_off @{do_softirq} / bh_on @{handle_softirqs}
        irq_off / hardirq_enter - threaded / acquire sA / release sA / hardirq_exit / irq_on
        irq_off @{timer_entry} / irq_on @{timer_exit}
        acquire sA
    """,
    "inconsistent_hard_rev": """
        lock sB CONFIG
        bh_off @{do_softirq} / bh_on @{handle_softirqs}
        acquire sB / release sB / irq_off / irq_on @{console}
        irq_off / hardirq_enter - threaded / acquire sB
    """,
    "inconsistent_hard_read": """
        lock qB CONFIG
        bh_off @demo_inconsistent_soft / bh_on @demo_inconsistent_soft
        irq_off / hardirq_enter - threaded / acquire qB R / release qB / hardirq_exit / irq_on
        acquire qB W
    """,
    "inconsistent_irqenable": """
        lock sN CONFIG
        bh_off / irq_off / softirq_enter / acquire sN / release sN / softirq_exit / irq_on
        irq_off / bh_on / irq_on @__local_bh_enable_ip
        irq_off / acquire sN / irq_on
    """,
    "inversion_fwd": """
        lock sI CONFIG / lock sJ CONFIG
        irq_off / acquire sI / acquire sJ / release sJ / release sI / irq_on
        acquire sJ / release sJ
        irq_off / hardirq_enter - threaded / acquire sI
    """,
    "bad_irq_dep": """
        lock sD CONFIG / lock sE CONFIG
        irq_off / hardirq_enter - threaded / acquire sD / release sD / hardirq_exit / irq_on
        acquire sE / release sE
        irq_off / acquire sD / acquire sE
    """,
    "wait_ctx_mutex_in_spin": """
        lock sM CONFIG / lock mA SLEEP
        acquire mA / release mA / acquire sM / acquire mA
    """,
    "wait_ctx_spin_in_raw": """
        lock rawA SPIN / lock sM CONFIG
        acquire sM / release sM / acquire rawA / acquire sM
    """,
    "wait_ctx_spin_in_hardirq": """
        lock sM CONFIG
        bh_off @demo_inconsistent_irqenable / bh_on @demo_inconsistent_irqenable
        acquire sM W @demo_wait_ctx_mutex_in_spin / release sM
        irq_off / irq_on @__up_console_sem
        irq_off / hardirq_enter - nonthreaded / acquire sM
    """,
    "bad_unlock": "lock mA SLEEP / release mA",
    "bad_unlock_held": "lock mA SLEEP / lock mB SLEEP / acquire mB / release mA",
    "nest_not_held": """
        lock sM CONFIG / lock mC SLEEP / lock mD SLEEP
        acquire sM / release sM
        irq_off / hardirq_enter - nonthreaded / acquire sM / forget / hardirq_exit / irq_on
        acquire mC / acquire sM W:nest=mD
    """,
    "held_freed": "lock x SLEEP / acquire x / check_not_held x",
    "still_held": "lock mE SLEEP / lock mF SLEEP / acquire mE / acquire mF / task_exit",
    "sys_exit": "lock mE SLEEP / acquire mE / return_to_user",
    "rcu_susp": """
        lock mE SLEEP / acquire mE
        rcu_suspicious virt/kvm/demo.c:123 'suspicious rcu_dereference_check() usage'
    """,
    "kvm_splat_recursive_ok": """
        lock pseudo INV / lock count INV
        acquire pseudo / acquire count R / release pseudo / acquire pseudo
        release count / release pseudo / acquire count / release count
    """,
    "bfs_mark_false_negative": """
        lock A INV / lock B INV / lock C INV / lock D INV
        acquire A / acquire B R / release B / release A
        acquire B r / acquire C / release C / release B
        acquire A / acquire D / release D / release A
        acquire D / acquire C / release C / release D
        acquire C / acquire A
    """,
}
NOT_FROM_EVENTS = {"recursive_cmp_bad"}

# The two kernels were built with different compilers: what the boot had done last differs, and one
# of them makes a tail call of the last mutex_lock() of a function.
PLACES = {
    False: {
        "tail_call": "demo_{name}",
        "do_softirq": "__do_softirq",
        "handle_softirqs": "handle_softirqs",
        "timer_entry": "sysvec_apic_timer_interrupt",
        "timer_exit": "irqentry_exit",
        "console": "irqentry_exit",
    },
    True: {
        "tail_call": "run",
        "do_softirq": "irq_exit_rcu",
        "handle_softirqs": "irq_exit_rcu",
        "timer_entry": "demo_inconsistent_hard",
        "timer_exit": "demo_inconsistent_hard",
        "console": "__up_console_sem",
    },
}


def events(name: str, raw_nesting: bool) -> list[list[str]]:
    """Return the lines of a demo, split into words."""
    places = {key: place.format(name=name) for key, place in PLACES[raw_nesting].items()}
    script = DEMOS[name].format_map(places)
    return [shlex.split(event) for line in script.splitlines() for event in line.split(" / ")]


def case_of(name: str, raw_nesting: bool) -> tuple[Case, set[int]]:
    """Return a demo as a case, and the steps whose report is forgotten."""
    forgotten: set[int] = set()
    locks: dict[str, dict[str, str]] = {}
    sequence: list[list[str | list[str]]] = []
    for words in events(name, raw_nesting):
        match words:
            case ["lock", alias, wait, *more]:
                locks[alias] = {"class_key": alias, "wait_inner": wait}
                locks[alias]["map_name"] = more[0] if more else alias
            case ["like", alias, other]:
                locks[alias] = locks[other]
            case ["forget"]:
                forgotten.add(len(sequence) - 1)
            case [op, *more]:
                place = more.pop()[1:] if more and more[-1].startswith("@") else f"demo_{name}"
                lock, mode, *_ = [*more, "", ""]
                sequence.append([op, lock.removeprefix("-"), mode, "", place.split(",")])
            case []:
                pass
    cases = parse_cases([{"name": name, "locks": locks, "sequence": sequence}], "demo")
    return cases[0], forgotten


def report_of(name: str, raw_nesting: bool, like_linux: bool = False) -> Report | None:
    """Return the report of a demo."""
    case, forgotten = case_of(name, raw_nesting)
    validator = Validator(raw_nesting=raw_nesting, like_linux=like_linux)
    replay = CaseReplay(case, validator)
    for index, step in enumerate(case.steps):
        report = replay.run(step)
        if index in forgotten:
            validator.resume()
        elif report is not None:
            assert index == len(case.steps) - 1
            return report
    return None


def kernel_lines(path: Path) -> list[str]:
    """Return a recorded report without what the demo module printed itself."""
    text = path.read_text(encoding="utf-8")
    return normalise("\n".join(line for line in text.splitlines() if "debug_locks=" not in line))


@pytest.mark.parametrize("folder", CONFIGURATIONS)
@pytest.mark.parametrize("name", DEMOS)
@pytest.mark.parametrize("like_linux", [False, True])
def test_text_equals_the_kernels(folder: str, name: str, like_linux: bool) -> None:
    path = DATA / "lockdep" / folder / f"{name}.txt"
    expected = kernel_lines(path)
    report = report_of(name, CONFIGURATIONS[folder], like_linux)
    if report is not None and report.linux_would_miss:
        assert name == "bfs_mark_false_negative" and not like_linux
        assert expected == [""]
    else:
        assert normalise(report.text() if report is not None else "") == expected


def test_comparison_function() -> None:
    validator = Validator()
    task = validator.task("qemu-system-x86")
    here = (Frame("demo_recursive_cmp_bad"),)
    for version in range(3):
        other = validator.lock(f"other{version}", "&x[i]", wait_inner=WaitType.SLEEP)
        validator.acquire(task, other, stack=here)
        validator.release(task, other, stack=here)
    x0, x1 = (validator.lock("x", "&x[i]", wait_inner=WaitType.SLEEP) for _ in range(2))

    def by_index(a: LockdepMap, b: LockdepMap) -> int:
        return (a is x1) - (b is x1)

    validator.set_lock_cmp_fn(x0, by_index, lambda lock: "[inst]")
    assert validator.acquire(task, x1, stack=here) is None
    report = validator.acquire(task, x0, stack=here)
    assert report is not None
    path = DATA / "lockdep" / "reports" / "recursive_cmp_bad.txt"
    assert normalise(report.text()) == kernel_lines(path)


@pytest.mark.parametrize("folder", CONFIGURATIONS)
def test_no_recorded_report_is_left_out(folder: str) -> None:
    names = {path.stem for path in (DATA / "lockdep" / folder).glob("*.txt")}
    assert names - set(DEMOS) <= NOT_FROM_EVENTS
