# SPDX-License-Identifier: Apache-2.0
"""Mutation testing: ``python -m mutants [FOLDER ...]``, or ``make mutants``.

Each mutant is the project with one small change. A test must fail on it; where none does, either the
change makes no difference or a test is missing. It takes hours, goes on where it was interrupted, and
ends with the survivors for which the table has no reason.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from pathlib import Path

from mutants.folders import FOLDERS, Folder
from mutants.run import Orders, run_folder
from mutants.survivors import Mutant, Reason, read_table, tally, write_table
from mutants.tree import ROOT


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m mutants", description=__doc__)
    names = [folder.name for folder in FOLDERS]
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help=f"one of {', '.join(names)}")
    parser.add_argument("--module", action="append", help="only modules of this name, without .py")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--percent", type=float, default=100.0, help="part of the mutants (100)")
    parser.add_argument("--again", action="store_true", help="run survivors again")
    parser.add_argument("--report", action="store_true", help="only say what is known")
    parser.add_argument(
        "--add", action="store_true", help="add new survivors to the table, as open"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.folders) - set(names):
        parser.error(f"no folder is called {', '.join(sorted(unknown))}")
    chosen = [f for f in FOLDERS if not arguments.folders or f.name in arguments.folders]
    if not arguments.report:
        for folder in chosen:
            run(
                folder, arguments.module, arguments.jobs, Orders(arguments.percent, arguments.again)
            )
    return report(chosen, arguments.module, arguments.add)


def wanted(folder: Folder, names: list[str] | None) -> list[Path]:
    """Return the modules of *folder* that are asked for."""
    return [path for path in folder.module_paths(ROOT) if names is None or path.stem in names]


def run(folder: Folder, names: list[str] | None, jobs: int, orders: Orders) -> None:
    """Run the mutants of *folder*, its modules dealt out to *jobs* processes."""
    modules = wanted(folder, names)
    if not modules:
        return
    # Each process enters a directory of its own; all end when this one is interrupted.
    workers = [
        multiprocessing.get_context("spawn").Process(
            target=run_folder, args=(folder, modules[number::jobs], number, orders), daemon=True
        )
        for number in range(min(jobs, len(modules)))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        sys.exit(1)


def report(folders: list[Folder], names: list[str] | None, add: bool) -> int:
    """Print the results; return 1 if a survivor has no reason in the table."""
    table = read_table()
    new: list[Mutant] = []
    for folder in folders:
        known = tally(wanted(folder, names))
        print(
            f"{folder.name}: {known.run + known.waiting} mutants, {known.run} run,"
            f" {known.killed} killed, {len(known.survivors)} survive"
        )
        new += [mutant for mutant in known.survivors if mutant not in table]
    for mutant in new:
        print(f"\n{mutant.module}, {mutant.function}:\n  - {mutant.before}\n  + {mutant.after}")
    if add:
        write_table(table | {mutant: Reason("open", "") for mutant in new})
        return 0
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())
