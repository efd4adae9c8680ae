# SPDX-License-Identifier: Apache-2.0
"""Mutating one module after the other, and running the tests on each mutant.

Results are kept in ``build/mutants/sessions``, one Cosmic Ray session for each text of a module. So a
run can be interrupted at any time and goes on where it was, and only modules that changed start again.
"""

from __future__ import annotations

import hashlib
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkItem, WorkResult

from mutants.folders import Folder
from mutants.operators import Uninteresting, is_used, register
from mutants.tree import BUILD, ROOT, enter, forget_kernels, kernels, make_tree

SESSIONS = BUILD / "sessions"


@dataclass(frozen=True)
class Orders:
    """What to run.

    :ivar percent: which part of all mutants, chosen the same way every time.
    :ivar again: run those that survived again, too.
    """

    percent: float = 100.0
    again: bool = False


def session_path(module: Path) -> Path:
    """Return where results on *module*, in its present text, are kept."""
    texts = (ROOT / module).read_bytes() + (ROOT / "mutants" / "operators.py").read_bytes()
    digest = hashlib.sha256(texts).hexdigest()[:12]
    name = ".".join(module.with_suffix("").parts[2:])
    return SESSIONS / f"{name}-{digest}.sqlite"


def is_chosen(item: WorkItem, percent: float) -> bool:
    """Return True if *item* belongs to this part of all mutants."""
    mutation = item.mutations[0]
    text = f"{mutation.module_path} {mutation.operator_name} {mutation.occurrence}"
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) < percent / 100 * 2**32


def run_folder(folder: Folder, modules: list[Path], number: int, orders: Orders) -> None:
    """Run the mutants of some modules of *folder* in a tree of their own."""
    register()
    SESSIONS.mkdir(parents=True, exist_ok=True)
    sessions = {module: session_path(module) for module in modules}
    tree = make_tree(number)
    enter(tree)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
    ]
    command += ["--hypothesis-seed=0", *folder.test_paths(tree)]
    command, limit = _limited(command)
    compiled = kernels()
    for module, path in sessions.items():
        with use_db(str(path), WorkDB.Mode.create) as session:
            if not session.num_work_items:
                _prepare(session, module)
            todo = list(_work(session, orders))
            for index, item in enumerate(todo):
                result = mutate_and_test(item.mutations, shlex.join(command), limit)
                session.set_result(item.job_id, result)
                forget_kernels(compiled)
                _tell(module, index + 1, len(todo), result)


def _limited(command: list[str]) -> tuple[list[str], float]:
    """Run the tests on the unchanged tree, which they must pass; return the command with its limits.

    A mutant that loops is ended by the processor time that it takes, since the machine may be busy; one
    that waits, by the time that passes.
    """
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    if subprocess.run(command, check=False).returncode:
        raise SystemExit("the tests fail without any mutation; see above")
    after, passed = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - start
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"the tests take {used:.1f} s", flush=True)
    limit = f'ulimit -t {3 * round(used) + 20}; exec "$@"'
    return ["sh", "-c", limit, "sh", *command], 10 * (passed + 60)


def _prepare(session: WorkDB, module: Path) -> None:
    """Fill *session* with all mutants of *module*; those that are left out count as skipped."""
    init([module], session, {})
    dull = Uninteresting(module)
    skipped = [
        item.job_id
        for item in session.work_items
        if not is_used(item.mutations[0].operator_name) or item.mutations[0].start_pos in dull
    ]
    session.set_multiple_results(skipped, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))


def _work(session: WorkDB, orders: Orders) -> Iterator[WorkItem]:
    results = dict(session.results)
    for item in session.work_items:
        result = results.get(item.job_id)
        if result is None:
            if is_chosen(item, orders.percent):
                yield item
        elif orders.again and result.test_outcome == TestOutcome.SURVIVED:
            yield item


def _tell(module: Path, done: int, total: int, result: WorkResult) -> None:
    outcome = result.test_outcome.value if result.test_outcome is not None else "no test"
    print(f"{module} {done}/{total} {outcome}", flush=True)
