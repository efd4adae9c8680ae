# SPDX-License-Identifier: Apache-2.0
"""``quiesce check`` without FILE: every scenario of ``[tool.quiesce]`` in pyproject.toml, in one table."""

from __future__ import annotations

import argparse
import os
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quiesce.commands.check import run_check
from quiesce.commands.compare import SEVERITY
from quiesce.commands.formats import outputs_of
from quiesce.commands.options import search_bounds
from quiesce.compiler.program import compile_scenario
from quiesce.errors import UsageError
from quiesce.explorer import CheckResult
from quiesce.explorer.expected import exit_code, question, shown_findings, unexpected
from quiesce.explorer.replay import make_token
from quiesce.loading import load_scenario, split_target
from quiesce.report.check_json import SCHEMA, check_to_json
from quiesce.report.check_problems import check_problems, check_suite, outcome
from quiesce.report.document import Document, text_section
from quiesce.report.project_text import Row, render_project
from quiesce.stopping import noted
from quiesce.token_file import origin_of
from quiesce.verdict import worst

NAME = "pyproject.toml"

EXAMPLE = """\
[[tool.quiesce.scenarios]]
target = "protocols/gate.py:Gate"
set = { notifiers = 2 }
expect = { no_starvation = "violated" }"""

_KEYS = ("target", "set", "expect", "only", "ignore")


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of the list.

    :param target: ``FILE[:CLASS]``, with the file as a path from the current directory.
    :param settings: ``name=value``, as with ``--set``.
    :param expect: ``property=outcome``, as with ``--expect``.
    :param only: as with ``--only``.
    :param ignore: as with ``--ignore``.
    """

    target: str
    settings: tuple[str, ...] = ()
    expect: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The command that checks this entry alone."""
        words = ["quiesce", "check", self.target]
        for option, values in (
            ("--set", self.settings), ("--expect", self.expect), ("--only", self.only),
            ("--ignore", self.ignore),
        ):  # fmt: skip
            words += [word for value in values for word in (option, value)]
        return shlex.join(words)


def find_project(start: Path) -> Path:
    """Return the nearest ``pyproject.toml``, in *start* or above it.

    :raises UsageError: there is none.
    """
    for folder in (start, *start.parents):
        if (folder / NAME).is_file():
            return folder / NAME
    raise UsageError(
        f"FILE is missing, and there is no {NAME} here or above that lists scenarios",
        f"quiesce check FILE[:CLASS], or a {NAME} with\n{EXAMPLE}",
    )


def read_project(path: Path, start: Path) -> list[Listed]:
    """Return the scenarios that *path* lists.

    :param start: the directory that their paths are told from.
    :raises UsageError: it is not valid, or lists none.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    table = data.get("tool", {}).get("quiesce", {})
    entries = table.get("scenarios") if isinstance(table, Mapping) else None
    if not isinstance(entries, list) or not entries:
        raise UsageError(
            f"FILE is missing, and {path} lists no scenarios",
            f"quiesce check FILE[:CLASS], or add\n{EXAMPLE}",
        )
    return [
        _entry(entry, f"{path}: scenario {number}", path.parent, start)
        for number, entry in enumerate(entries, 1)
    ]


def _entry(entry: object, where: str, folder: Path, start: Path) -> Listed:
    if not isinstance(entry, Mapping):
        raise UsageError(f"{where} is not a table", f"write\n{EXAMPLE}")
    for key in entry:
        if key not in _KEYS:
            raise UsageError(f"{where}: there is no key `{key}`", f"its keys: {', '.join(_KEYS)}")
    target = entry.get("target")
    if not isinstance(target, str):
        raise UsageError(f"{where}: `target` must be a string", 'target = "FILE[:CLASS]"')
    file, name = split_target(str(folder / target))
    shown = os.path.relpath(file, start)
    return Listed(
        f"{shown}:{name}" if name else shown,
        _pairs(entry, "set", where),
        _pairs(entry, "expect", where),
        _names(entry, "only", where),
        _names(entry, "ignore", where),
    )


def _pairs(entry: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    found = entry.get(key, {})
    if not isinstance(found, Mapping):
        raise UsageError(f"{where}: `{key}` must be a table", f"{key} = {{ name = value }}")
    texts = []
    for name, value in found.items():
        if not isinstance(value, str | int):
            raise UsageError(
                f"{where}: `{key}.{name}` must be a string, a number or true or false",
                f'{key} = {{ {name} = "value" }}',
            )
        texts.append(f"{name}={str(value).lower() if isinstance(value, bool) else value}")
    return tuple(texts)


def _names(entry: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    found = entry.get(key, [])
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise UsageError(f"{where}: `{key}` must be a list of strings", f'{key} = ["no_deadlock"]')
    return tuple(found)


ALONE = (
    "show_steps",
    "lockdep",
    "lock_graph",
    "checkpoint",
    "set",
    "expect",
    "only",
    "ignore",
)
"""Options of ``check`` that are about one scenario."""


def project_command(args: argparse.Namespace) -> int:
    """Check every scenario of the project; return the worst exit code."""
    for option in ALONE:
        if getattr(args, option, None):
            raise UsageError(
                f"--{option.replace('_', '-')} is about one scenario", "name it: FILE[:CLASS]"
            )
    bounds = search_bounds(args)
    outputs = outputs_of(args)
    quiet = args.quiet or outputs.for_programs
    start = Path.cwd()
    path = find_project(start)
    listed = read_project(path, start)
    # Everything is loaded and compiled first: a mistake in the last entry is told at once.
    asked = []
    for entry in listed:
        scenario = load_scenario(entry.target, entry.settings)
        program = compile_scenario(scenario, fuse=not args.no_fusion)
        about = question(scenario, program, entry.expect, entry.only, entry.ignore)
        asked.append((type(scenario).__name__, program, about))
    results: list[tuple[Listed, str, CheckResult]] = []
    with noted():
        for entry, (name, program, about) in zip(listed, asked, strict=True):
            one = argparse.Namespace(**{**vars(args), "target": entry.target})
            result = run_check(program, one, bounds, args.all or about.whole_space, quiet)
            results.append((entry, name, about.judge(result)))
        outputs.write(_document(os.path.relpath(path, start), results, args.fairness))
    return max((exit_code(result) for _, _, result in results), key=SEVERITY.index)


def _document(
    path: str, results: Sequence[tuple[Listed, str, CheckResult]], fairness: str
) -> Document:
    """Return the document of all scenarios that *path* lists."""
    rows = [Row(e.target, e.settings, r, e.command) for e, _, r in results]
    named = [(" ".join((e.target, *e.settings)), result) for e, _, result in results]
    return Document(
        f"scenarios of {path}",
        worst(outcome(result) for _, result in named),
        lambda: [text_section(render_project(path, rows))],
        lambda: {"schema": SCHEMA, "scenarios": _to_json(results, fairness)},
        lambda: [p for name, result in named for p in check_problems(result, name)],
        lambda: [check_suite(result, name) for name, result in named],
    )


def _to_json(
    results: Sequence[tuple[Listed, str, CheckResult]], fairness: str
) -> list[dict[str, object]]:
    found = []
    for entry, name, result in results:
        origin = origin_of(split_target(entry.target)[0], name, list(entry.settings))
        shown = shown_findings(result)
        token = (
            make_token(origin, result.program_of(shown[0]), shown[0], fairness) if shown else None
        )
        surprises = [p.name for p in unexpected(result)]
        data = check_to_json(result, name, None, token)
        found.append(
            {"target": entry.target, "set": list(entry.settings), "unexpected": surprises, **data}
        )
    return found
