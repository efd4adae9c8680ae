# SPDX-License-Identifier: Apache-2.0
"""``quiesce watch SCRIPT`` and ``quiesce watch -m MODULE``: run a program with all its locks watched.

The program is run as ``python SCRIPT`` runs it: the same ``sys.argv``, ``sys.path`` and ``__main__``, the
same handling of Ctrl-C. ``QUIESCE_WATCH=1`` in the environment does the same for any Python.
"""

from __future__ import annotations

import argparse
import atexit
import importlib.util
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from quiesce.errors import QuiesceError, UsageError
from quiesce.harmless import json_text
from quiesce.outputs import write_file
from quiesce.watch.graph import STYLES
from quiesce.watch.ignoring import Rules, read_baseline, write_baseline
from quiesce.watch.session import Watch, begin
from quiesce.watch.writer import flush

EXIT_FOUND = 1
EXIT_USAGE = 2


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``quiesce watch``; what follows the script belongs to the script."""
    parser.add_argument("--kernel-text", action="store_true",
                        help="print reports as the kernel's lockdep prints them")  # fmt: skip
    parser.add_argument("--ignore", action="append", default=[], metavar="PATTERN",
                        help="do not report findings with a lock name or a file that matches; "
                        "may be repeated")  # fmt: skip
    parser.add_argument("--baseline", metavar="FILE", help="do not report findings listed in FILE")
    parser.add_argument("--write-baseline", metavar="FILE", help="write all that is found to FILE")
    parser.add_argument("--graph", choices=tuple(STYLES),
                        help="print the lock order of the program on standard error at its end")  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="write all that is found to FILE")
    parser.add_argument("-m", dest="module", metavar="MODULE", nargs=argparse.REMAINDER,
                        help="run a module, as python -m does; what follows are its arguments")  # fmt: skip
    parser.add_argument("script", nargs=argparse.REMAINDER, metavar="SCRIPT [ARG ...]",
                        help="run a script; what follows are its arguments")  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """Run ``quiesce watch`` with *argv*; return the exit code.

    That is the program's own if it is not 0, else 1 if anything was found.
    """
    parser = argparse.ArgumentParser(
        prog="quiesce watch",
        description="Run a Python program and report locks that can deadlock, whether or not they do.",
        epilog="exit codes: the program's own if it is not 0, 1 if anything was found, 2 for a wrong request",
    )
    add_options(parser)
    return run(parser.parse_args(argv))


def run(args: argparse.Namespace) -> int:
    """Run ``quiesce watch`` with parsed arguments; return the exit code."""
    try:
        program = _load(args)
        known = read_baseline(args.baseline) if args.baseline else frozenset()
        rules = Rules(tuple(args.ignore), known)
    except QuiesceError as error:
        sys.stderr.write(f"quiesce: {error}\n")
        return EXIT_USAGE
    one = start(rules, kernel_text=args.kernel_text)
    code = _run(*program)
    _wait_for_threads()
    try:
        _write_files(args, one)
    except QuiesceError as error:
        sys.stderr.write(f"quiesce: {error}\n")
        return EXIT_USAGE
    return code or (EXIT_FOUND if one.reports else 0)


def start(rules: Rules | None = None, *, kernel_text: bool = False) -> Watch:
    """Watch from here to the end of the process; return the watch."""
    one = begin(kernel_text=kernel_text, rules=rules, adopt=True)
    one.whole_program = True
    atexit.register(flush)
    return one


def start_from_environment() -> None:
    """Start if ``QUIESCE_WATCH`` is set to anything but 0: called by each Python that starts."""
    if os.environ.get("QUIESCE_WATCH", "0") not in ("", "0"):
        start()


def _load(args: argparse.Namespace) -> tuple[ModuleType, CodeType, list[str]]:
    """Return the main module, its code, and ``sys.argv``.

    :raises UsageError: there is no such script or module, or it cannot be compiled.
    """
    if args.module:
        return _load_module(args.module[0], args.module[1:])
    if not args.script:
        raise UsageError("no program is given\n  help: quiesce watch SCRIPT, or -m MODULE")
    path, *rest = args.script
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the script {path}: {error.strerror}") from error
    main = ModuleType("__main__")
    main.__file__ = path
    main.__dict__["__builtins__"] = __builtins__
    sys.path.insert(0, str(Path(path).resolve().parent))
    return main, _compile(source, path), [path, *rest]


def _compile(source: bytes, path: str) -> CodeType:
    try:
        return compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"{path} is not a Python program: {error}") from error


def _load_module(name: str, rest: list[str]) -> tuple[ModuleType, CodeType, list[str]]:
    sys.path.insert(0, os.getcwd())
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
        code: Any = getattr(spec.loader, "get_code")(spec.name) if spec is not None else None  # noqa: B009
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        raise UsageError(f"cannot run the module {name}: {error}") from error
    if spec is None or code is None:
        raise UsageError(f"there is no module {name} to run, or it has no code")
    main = ModuleType("__main__")
    main.__dict__.update(
        __file__=spec.origin, __spec__=spec, __loader__=spec.loader, __package__=spec.parent,
        __builtins__=__builtins__,
    )  # fmt: skip
    return main, code, [spec.origin or name, *rest]


def _run(main: ModuleType, code: CodeType, argv: list[str]) -> int:
    """Run the program as ``__main__``; return its exit code."""
    sys.argv[:] = argv
    sys.modules["__main__"] = main
    try:
        exec(code, main.__dict__)
    except SystemExit as error:
        return _exit_code(error.code)
    except BaseException as error:
        trace = error.__traceback__
        # The program's own frames: ours is the first.
        error = error.with_traceback(trace.tb_next if trace is not None else None)
        sys.excepthook(type(error), error, error.__traceback__)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _exit_code(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code
    sys.stderr.write(f"{code}\n")
    return 1


def _wait_for_threads() -> None:
    """Wait for the threads that the interpreter would wait for at its end."""
    try:
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join()
    except KeyboardInterrupt:
        return


def _write_files(args: argparse.Namespace, one: Watch) -> None:
    flush()
    if args.write_baseline:
        write_baseline(args.write_baseline, one.found)
    if args.json:
        found = {"schema": 1, "findings": [finding.to_dict() for finding in one.reports]}
        write_file(args.json, json_text(found) + "\n")
    if args.graph:
        sys.stderr.write(one.graph(args.graph))
    if one.reports:
        sys.stderr.write(
            f"quiesce: {len(one.reports)} finding(s)"
            + (f", {len(one.ignored)} ignored" if one.ignored else "")
            + f" in {one.class_count} lock classes\n"
        )
