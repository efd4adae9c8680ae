# SPDX-License-Identifier: Apache-2.0
"""``quiesce lockdep replay``: feed the cases of a file to a validator, one fresh one for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TextIO

from quiesce.harmless import json_text
from quiesce.lockdep.cases import Case, CaseStep, load_cases
from quiesce.lockdep.classes import LockdepMap
from quiesce.lockdep.held import LockdepTask
from quiesce.lockdep.reports import Report
from quiesce.lockdep.validator import Validator
from quiesce.lockdep.ww import WwMutexes
from quiesce.verdict import Verdict

DEFAULT_RELEASE = "6.12.117"
COMM = "qemu-system-x86"
"""Every case runs in one task of this name, with pid 1."""


@dataclass(frozen=True)
class CaseOutcome:
    """What became of a case.

    :ivar report: the first report, or None.
    :ivar step: index of the step that reported, or None.
    :ivar reported_by: that step, or None.
    """

    name: str
    report: Report | None
    step: int | None
    reported_by: CaseStep | None = None

    def to_json(self) -> str:
        """Return the outcome as one line of JSON."""
        data: dict[str, Any] = {
            "name": self.name,
            "verdict": "pass" if self.report is None else "fail",
            "report": None if self.report is None else self.report.title,
            "step": self.step,
        }
        step = self.reported_by
        if step is not None:
            given = {"task": step.task or None, "cpu": step.cpu, "time": step.time}
            data.update({name: value for name, value in given.items() if value is not None})
        return json_text(data)


def replay_case(
    case: Case, *, raw_nesting: bool = False, like_linux: bool = False, release: str = ""
) -> CaseOutcome:
    """Run one case from a pristine validator. See :class:`Validator` for the parameters."""
    validator = Validator(
        raw_nesting=raw_nesting, like_linux=like_linux, release=release or DEFAULT_RELEASE
    )
    replay = CaseReplay(case, validator)
    for index, step in enumerate(case.steps):
        report = replay.run(step)
        if report is not None:
            return CaseOutcome(case.name, report, index, step)
    return CaseOutcome(case.name, None, None)


def replay_file(
    path: str, *, text: bool, raw_nesting: bool, like_linux: bool, out: TextIO, release: str = ""
) -> int:
    """Run every case of a file and write the outcomes.

    :param release: the kernel that reports name; empty for the one that the texts are of.
    :param text: write the kernel's text of each report instead of JSON, a blank line between them;
        cases without a report write nothing. A note that is not the kernel's follows its report.
    :return: the exit code: 0 if nothing was reported, else 1.
    :raises UsageError: the file is wrong; nothing was run.
    """
    outcomes = [
        replay_case(case, raw_nesting=raw_nesting, like_linux=like_linux, release=release)
        for case in load_cases(path)
    ]
    if text:
        reports = [outcome.report for outcome in outcomes if outcome.report is not None]
        out.write("\n".join(_with_note(report) for report in reports))
    else:
        out.writelines(f"{outcome.to_json()}\n" for outcome in outcomes)
    reported = any(outcome.report is not None for outcome in outcomes)
    return (Verdict.VIOLATION if reported else Verdict.HOLDS).exit_code


def _with_note(report: Report) -> str:
    return report.text() + (f"{report.note}\n" if report.note else "")


class CaseReplay:
    """One case under way: the steps of a case, one by one, into a validator."""

    def __init__(self, case: Case, validator: Validator) -> None:
        self.validator = validator
        self.task: LockdepTask = validator.task(COMM)
        self.ww = WwMutexes()
        self._tasks = {"": (self.task, self.ww)}
        self.locks = {
            name: validator.lock(
                spec.key,
                spec.name,
                wait_inner=spec.wait_inner,
                wait_outer=spec.wait_outer,
                lock_type=spec.lock_type,
            )
            for name, spec in case.locks.items()
        }

    def run(self, step: CaseStep) -> Report | None:
        """Do one step and return the report that it caused."""
        self.task, self.ww = self._task_of(step.task)
        self._set_context(step.context)
        failed = self.ww.before(step)
        if not failed:
            report = self._event(step)
            if report is not None:
                return report
            failed = self.ww.after(step)
        return self.validator.warn(self.task, failed, stack=step.stack) if failed else None

    def _task_of(self, name: str) -> tuple[LockdepTask, WwMutexes]:
        """Return the task of that name, and its ww_mutex interface."""
        if name not in self._tasks:
            comm, _, pid = name.partition("/")
            task = self.validator.task(comm, int(pid) if pid else 1 + len(self._tasks))
            self._tasks[name] = task, WwMutexes()
        return self._tasks[name]

    def _set_context(self, context: str) -> None:
        """Follow the recorded interrupt state, should some event not have been recorded."""
        if not context:
            return
        task = self.task
        in_hardirq, in_softirq, task.hardirqs_enabled, task.softirqs_enabled = (
            character != "-" for character in context
        )
        if in_hardirq != bool(task.hardirq_context) or in_softirq != bool(task.softirq_context):
            task.hardirq_context = int(in_hardirq)
            task.softirq_context = int(in_softirq)
            task.update_irq_context()

    def _event(self, step: CaseStep) -> Report | None:
        validator, task, stack = self.validator, self.task, step.stack
        match step.op:
            case "acquire" | "sync":
                return self._acquire(step)
            case "release":
                return validator.release(task, self.locks[step.lock], stack=stack)
            case "downgrade":
                return validator.downgrade(task, self.locks[step.lock], stack=stack)
            case "init_map":
                lock = self.locks[step.lock]
                validator.init_map(lock, step.argument or lock.name)
            case "check_not_held":
                return validator.free(task, self.locks[step.lock], stack=stack)
            case "irq_off":
                validator.hardirqs_off(task, stack=stack)
            case "irq_on":
                return validator.hardirqs_on(task, stack=stack)
            case "bh_off":
                validator.softirqs_off(task, stack=stack)
            case "bh_on":
                return validator.softirqs_on(task, stack=stack)
            case "hardirq_enter":
                validator.hardirq_enter(task, threaded=step.argument == "threaded")
            case "hardirq_exit":
                validator.hardirq_exit(task)
            case "softirq_enter":
                validator.softirq_enter(task)
            case "softirq_exit":
                validator.softirq_exit(task)
            case "task_exit":
                return validator.task_exit(task, stack=stack)
            case "return_to_user":
                return validator.return_to_user(task, stack=stack)
            case "rcu_suspicious":
                return validator.rcu_suspicious(task, step.lock, step.argument, stack=stack)
        return None

    def _acquire(self, step: CaseStep) -> Report | None:
        mode = step.mode
        return self.validator.acquire(
            self.task,
            self.locks[step.lock],
            read=mode.read,
            trylock=mode.trylock,
            check=mode.check,
            subclass=mode.subclass,
            nest_lock=self._nest_lock(mode.nest) if mode.nest else None,
            sync=step.op == "sync",
            stack=step.stack,
        )

    def _nest_lock(self, name: str) -> LockdepMap:
        # A recording lists the locks that were taken; a nest_lock need not be one of them.
        return self.locks.setdefault(name, self.validator.lock(name))
