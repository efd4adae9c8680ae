# SPDX-License-Identifier: Apache-2.0
"""The mutants that no test notices, and the committed table of reasons why that is right.

The table (``mutants/survivors.tsv``) names a mutant by its module, its function and the line before and
after, so that it outlives changes elsewhere in the module.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkItem, WorkResult

from mutants.run import session_path
from mutants.tree import ROOT

TABLE = ROOT / "mutants" / "survivors.tsv"
CLASSES = ("equivalent", "text", "cost", "input", "open")
"""Why a mutant may survive: it does the same; it changes only what is printed beside the verdict; it
is only slower or larger; it treats only wrong requests differently; or it is not decided yet."""


@dataclass(frozen=True, order=True)
class Mutant:
    """What a mutation changed."""

    module: str
    function: str
    before: str
    after: str


@dataclass
class Tally:
    """What is known of the mutants of some modules."""

    killed: int = 0
    waiting: int = 0
    survivors: list[Mutant] = field(default_factory=list)

    @property
    def run(self) -> int:
        return self.killed + len(self.survivors)


def tally(modules: list[Path]) -> Tally:
    """Count the results on *modules*, each in its present text."""
    result = Tally()
    for module in modules:
        path = session_path(module)
        if not path.exists():
            continue
        with use_db(str(path), WorkDB.Mode.open) as session:
            results = dict(session.results)
            for item in session.work_items:
                _count(result, item, results.get(item.job_id))
    result.survivors.sort()
    return result


def _count(tally: Tally, item: WorkItem, result: WorkResult | None) -> None:
    if result is None:
        tally.waiting += 1
    elif result.test_outcome == TestOutcome.SURVIVED:
        tally.survivors.append(_mutant(item, result.diff or ""))
    elif result.worker_outcome != WorkerOutcome.SKIPPED:
        tally.killed += 1


def _mutant(item: WorkItem, diff: str) -> Mutant:
    mutation = item.mutations[0]
    module = str(Path(mutation.module_path).relative_to("src/quiesce"))
    before, after = (" ".join(_lines(diff, sign)) for sign in "-+")
    return Mutant(module, mutation.definition_name or "", before, after)


def _lines(diff: str, sign: str) -> Iterator[str]:
    for line in diff.splitlines():
        if line.startswith(sign) and not line.startswith(3 * sign):
            yield " ".join(line[1:].split())


@dataclass(frozen=True)
class Reason:
    """Why a mutant survives."""

    kind: str
    text: str


def read_table() -> dict[Mutant, Reason]:
    """Return the committed table."""
    table: dict[Mutant, Reason] = {}
    with TABLE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            mutant = Mutant(row["module"], row["function"], row["before"], row["after"])
            assert row["class"] in CLASSES, f"{row['class']!r} is none of {', '.join(CLASSES)}"
            table[mutant] = Reason(row["class"], row["reason"])
    return table


def write_table(table: dict[Mutant, Reason]) -> None:
    """Write the table, sorted."""
    lines = ["module\tfunction\tclass\treason\tbefore\tafter"]
    for mutant, reason in sorted(table.items()):
        lines.append(
            f"{mutant.module}\t{mutant.function}\t{reason.kind}\t{reason.text}"
            f"\t{mutant.before}\t{mutant.after}"
        )
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
