# SPDX-License-Identifier: Apache-2.0
"""``--set notifiers=2..8``: the same check with each of several values, in one table.

The runs are independent. They go through an executor as :mod:`concurrent.futures` has it, so that other
processes or machines can take them: ``--executor concurrent.futures:ProcessPoolExecutor``, or one of
Dask's or Ray's. Without one they run here, one after the other.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from quiesce.errors import UsageError
from quiesce.harmless import json_text
from quiesce.loading import MOST_VALUES, listed_values
from quiesce.protocol import Scenario
from quiesce.report.check_json import SCHEMA
from quiesce.report.sweep_text import render_sweep
from quiesce.stopping import noted

SEVERITY = (0, 3, 1)
"""The exit codes of one run, the worst last."""

_NOT_WITH_A_SWEEP = (
    "html", "format", "checkpoint", "lockdep", "lock_graph", "show_steps", "watch",
)  # fmt: skip


class Pending(Protocol):
    """A run that was handed to an executor."""

    def result(self) -> Any:
        """Return what it came to, when it has ended."""


class Submits(Protocol):
    """What is needed of an executor."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Pending:
        """Let *fn* be called with *args*, some time and somewhere."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run: a file's scenario, or a design of KVM, with its settings and the options of the command."""

    target: str
    design: str
    settings: tuple[str, ...]
    options: dict[str, Any]


RunOne = Callable[[str, str, tuple[str, ...], dict[str, Any]], dict[str, Any]]


def varied(scenario: type[Scenario], settings: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the settings of each run; one run if no setting has several values.

    ``name=2..8`` stands for all whole numbers from 2 to 8, and ``name=a,b`` for two values, unless the
    parameter is a text, in which a comma may stand.

    :raises UsageError: there are more runs than :data:`~quiesce.loading.MOST_VALUES`.
    """
    choices = [[f"{name}={v}" for v in values] for name, values in _values(scenario, settings)]
    runs = list(itertools.islice(itertools.product(*choices), MOST_VALUES + 1))
    if len(runs) > MOST_VALUES:
        raise UsageError(
            f"--set: these are more than {MOST_VALUES} runs", "fewer values, or several commands"
        )
    return runs


def _values(scenario: type[Scenario], settings: Sequence[str]) -> list[tuple[str, list[str]]]:
    found = []
    for setting in settings:
        name, equals, text = setting.partition("=")
        found.append((name, listed_values(scenario, name, text) if equals else [text]))
    return [(name, values) if values else (name, [""]) for name, values in found]


def refuse_what_has_no_table(args: argparse.Namespace) -> None:
    """Refuse the options that are about one run.

    :raises UsageError: one of them is given.
    """
    for name in _NOT_WITH_A_SWEEP:
        if getattr(args, name, None):
            option = "--" + name.replace("_", "-")
            raise UsageError(f"{option} is about one run, and --set asks for several", "one value")


def refuse_executor(args: argparse.Namespace) -> None:
    """Refuse ``--executor`` where there is one run.

    :raises UsageError: it is given.
    """
    if args.executor:
        raise UsageError("--executor: there is one run only", "--set NAME=2..8, or leave it out")


def sweep_command(args: argparse.Namespace, title: str, run: RunOne, jobs: Sequence[Job]) -> int:
    """Run all *jobs* and print their table; return the worst exit code.

    :param run: what is called for each, perhaps in another process, with the target, the design, the settings
        and the options; it returns a :func:`row`.
    """
    refuse_what_has_no_table(args)
    pairs = [dict(setting.split("=", 1) for setting in job.settings) for job in jobs]
    over = [name for name in pairs[0] if len({pair[name] for pair in pairs}) > 1]
    executor = find_executor(args.executor)
    with noted():
        started = time.monotonic()
        pending = []
        for job in jobs:
            left = dict(job.options)
            if left["max_seconds"] is not None:
                # The seconds are for the command as a whole.
                spent = time.monotonic() - started
                left["max_seconds"] = max(0.001, left["max_seconds"] - spent)
            pending.append(executor.submit(run, job.target, job.design, job.settings, left))
        runs = [p.result() for p in pending]
    if args.json:
        print(json_text({"schema": SCHEMA, "over": list(over), "runs": [r["check"] for r in runs]}))
    else:
        print(render_sweep(title, over, runs), end="")
    codes: list[int] = [run["exit_code"] for run in runs]
    return max(codes, key=SEVERITY.index)


def options_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options of *args* that a run needs, such as another process can be sent."""
    left_out = {"run", "executor", "set", "target", "design", "format"}
    return {name: value for name, value in vars(args).items() if name not in left_out}


def row(
    settings: tuple[str, ...], design: str, code: int, data: dict[str, object]
) -> dict[str, Any]:
    """Return what a run comes to: its settings, the exit code and the JSON of the check."""
    values = dict(setting.split("=", 1) for setting in settings)
    return {
        "settings": values,
        "design": design,
        "exit_code": code,
        "check": {"settings": values, **data},
    }


# --- Executors ----------------------------------------------------------------------------------------


class _RunsAtOnce:
    """Runs what it is handed at once, in this thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Call *fn* with *args* now."""
        done: Future[Any] = Future()
        done.set_result(fn(*args))
        return done


def find_executor(name: str) -> Submits:
    """Return the executor that ``module:callable`` names; empty: one that runs things here.

    :raises UsageError: there is no such thing, or it is not an executor.
    """
    if not name:
        return _RunsAtOnce()
    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute:
        raise UsageError(
            f"--executor {name}: this is not MODULE:CALLABLE",
            "--executor concurrent.futures:ProcessPoolExecutor",
        )
    try:
        made: Any = importlib.import_module(module)
        for part in attribute.split("."):
            made = getattr(made, part)
        made = made()
        # A Dask client hands out its executor.
        made = made.get_executor() if hasattr(made, "get_executor") else made
    except Exception as error:
        raise UsageError(
            f"--executor {name}: {type(error).__name__}: {error}",
            "name something that can be called without arguments and returns an executor",
        ) from error
    if not hasattr(made, "submit"):
        raise UsageError(
            f"--executor {name}: what it returns has no `submit`",
            "--executor concurrent.futures:ProcessPoolExecutor",
        )
    executor: Submits = made
    return executor
