# SPDX-License-Identifier: Apache-2.0
"""The parser of the command line: every subcommand with its options.

A command's module is imported when the command is called: `explain` needs no explorer, and no command
needs all of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

from quiesce import __version__
from quiesce.harmless import one_line


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, whatever the words are that it complains about."""

    def error(self, message: str) -> NoReturn:
        super().error(one_line(message))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    from quiesce.commands.lockdep_options import add_lockdep

    parser: argparse.ArgumentParser = _Parser(
        prog="quiesce",
        description="Run, prove and explain locking protocols. Without a command: the story of KVM's "
        "memslot updates against the MMU notifier, five designs checked and compared.",
        epilog="exit codes: 0 holds, 1 violation, 2 wrong request, source or surroundings, 3 incomplete "
        "or interrupted, 4 internal error",
    )
    parser.add_argument("--version", action="version", version=f"quiesce {__version__}")
    parser.add_argument("--quiet", "-q", action="store_true", help="show no progress")
    parser.set_defaults(run=_story)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_check(commands)
    _add_compare(commands)
    _add_replay(commands)
    _add_run(commands)
    _add_explain(commands)
    _add_watch_program(commands)
    add_lockdep(commands)
    _add_kvm(commands)
    _add_examples(commands)
    _add_doctor(commands)
    _add_mcp(commands)
    return parser


EXECUTED = "FILE is Python and is executed: give only files that you would run with Python."


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from quiesce.commands.options import add_executor_option, add_search_options

    check = commands.add_parser(
        "check",
        help="explore every interleaving of a scenario",
        description="Explore every interleaving of a scenario; without FILE, of every scenario that "
        f"[tool.quiesce] of the nearest pyproject.toml lists, in one table. {EXECUTED}",
    )
    _add_target(check, required=False)
    check.add_argument(
        "--show-steps", action="store_true", help="print the source with its steps marked"
    )
    check.add_argument(
        "--lockdep",
        action="store_true",
        help="print lockdep's report in the kernel's format, alone",
    )
    check.add_argument(
        "--lock-graph", choices=("text", "dot", "mermaid"), help="print which locks nest in which"
    )
    check.add_argument(
        "--all",
        action="store_true",
        help="go on after a violation: a verdict and a counterexample for each property",
    )
    _add_question(check)
    _add_watch(check)
    add_search_options(check)
    add_executor_option(check)
    check.set_defaults(run=_check)


def _add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from quiesce.commands.options import add_search_options

    compare = commands.add_parser(
        "compare",
        help="check a scenario with each value of a parameter: candidate fixes side by side",
        description=f"Check a scenario with each value of a parameter, in one table. {EXECUTED}",
        epilog="exit codes: the worst of the variants; 0 if each holds, or came out as expected",
    )
    _add_target(compare)
    compare.add_argument(
        "--over",
        required=True,
        metavar="NAME[=VALUE,...]",
        help="the parameter; its values can be left out where its type tells them; n=1..4 for numbers",
    )
    _add_question(compare)
    _add_watch(compare)
    add_search_options(compare, html=False)
    compare.set_defaults(run=_compare)


def _add_watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--watch", action="store_true", help="answer again whenever the file is saved, until Ctrl-C"
    )


def _add_question(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--expect",
        action="append",
        default=[],
        metavar="PROPERTY=OUTCOME",
        help="what must come out, holds or violated; every other property must hold; exit code 0 if so",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PROPERTY",
        help="let this property decide, and no other; can be given more than once",
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="PROPERTY",
        help="show this property, but do not let it decide; can be given more than once",
    )


def _add_target(parser: argparse.ArgumentParser, required: bool = True) -> None:
    parser.add_argument(
        "target",
        metavar="FILE[:CLASS]",
        nargs=None if required else "?",
        help="a Python file with a scenario; it is executed",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the scenario; n=2..8 or n=2,4: a run for each, in one table (check)",
    )


def _add_replay(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from quiesce.commands.options import add_replay_options

    replay = commands.add_parser(
        "replay",
        help="repeat a counterexample, and prove it again",
        description="Walk the run of a counterexample again and prove from the program, not from the "
        "token, that the property fails at its end. A token names a Python FILE, which is executed; which "
        "one is printed first. A FILE that has changed since is executed only if it is in this directory, "
        "below or above it, or is given with --file.",
        epilog="exit codes: 1 proved again; 3 not proved again, which says nothing about other runs, or not "
        "decided; 2 not a token, a token that claims what is not so, or no such file; never 0",
    )
    add_replay_options(replay)
    replay.set_defaults(run=_replay)


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser(
        "run",
        help="run a scenario on real threads",
        description=f"Run a scenario on real threads. {EXECUTED}",
    )
    _add_target(run)
    _add_thread_options(run)
    run.set_defaults(run=_run)


def _add_thread_options(parser: argparse.ArgumentParser) -> None:
    from quiesce.commands.formats import add_format_option
    from quiesce.commands.options import any_number, seconds

    parser.add_argument(
        "--seconds", type=seconds, default=5.0, metavar="S", help="for how long (5)"
    )
    parser.add_argument(
        "--seed", type=any_number, default=0, metavar="N", help="of the random choices (0)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    add_format_option(parser)
    parser.add_argument("--quiet", "-q", action="store_true")


def _add_explain(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from quiesce.commands.fail_on import FAIL_ON
    from quiesce.commands.formats import add_format_option

    explain = commands.add_parser(
        "explain",
        help="explain every report of a log, or of many logs, about locks and stuck tasks",
        epilog="exit codes: 0 every report was read whole, or there is none; 1 what --fail-on names was "
        "found, or --compare found two bugs; 2 not a log; 3 a part of a report is missing, or --compare "
        "cannot tell",
    )
    explain.add_argument(
        "files",
        metavar="FILE|DIR",
        nargs="*",
        default=["-"],
        help="a log, packed or not; - is standard input; of several, or of a folder, a summary is printed",
    )
    explain.add_argument(
        "--json", action="store_true", help="print one JSON object instead of text"
    )
    explain.add_argument(
        "--jsonl", action="store_true", help="print a line of JSON for each report, and a summary"
    )
    explain.add_argument("--markdown", action="store_true", help="for a mail or an issue")
    explain.add_argument("--html", metavar="FILE", help="also write one HTML page")
    add_format_option(explain)
    explain.add_argument(
        "--model", metavar="FILE", help="write the report as a scenario to edit and check"
    )
    explain.add_argument(
        "--commit", action="store_true", help="print the paragraph that a changelog would have"
    )
    explain.add_argument(
        "--compare", metavar="OTHER", help="say whether OTHER, a log, shows the same bug, and why"
    )
    explain.add_argument(
        "--fail-on",
        action="append",
        choices=FAIL_ON,
        default=[],
        help="exit with 1 if such a report is found; can be given more than once",
    )
    explain.add_argument("--quiet", "-q", action="store_true", help="print only the verdicts")
    explain.add_argument(
        "--verbose", "-v", action="store_true", help="print all that stands behind each answer"
    )
    explain.set_defaults(run=_explain)


def _add_watch_program(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    # `quiesce watch` is handled before this parser, in __main__: the program that it runs needs a process
    # without our handlers and streams.
    watch = commands.add_parser(
        "watch",
        help="run a Python program and report locks that can deadlock",
        description="Run a Python program and report locks that can deadlock: quiesce watch --help.",
        add_help=False,
    )
    watch.add_argument("rest", nargs=argparse.REMAINDER)
    watch.set_defaults(run=_watch)


def _watch(args: argparse.Namespace) -> int:
    from quiesce.watch.runner import main

    return main(args.rest)


def _add_kvm(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from quiesce.commands.kvm_memslots_options import add_conform, add_why
    from quiesce.commands.kvm_run import add_run
    from quiesce.commands.kvm_stall import add_stall
    from quiesce.commands.kvm_trace import add_trace
    from quiesce.commands.options import add_executor_option, add_search_options, any_number

    kvm = commands.add_parser("kvm", help="KVM's memslots against the MMU notifier")
    actions = kvm.add_subparsers(title="actions", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="check the designs")
    check.add_argument("--design", default="all", metavar="NAME|all")
    check.add_argument("--notifiers", type=any_number, metavar="N")
    check.add_argument("--updaters", type=any_number, metavar="U")
    check.add_argument("--vcpus", type=any_number, metavar="V")
    check.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    check.add_argument(
        "--lockdep",
        action="store_true",
        help="print lockdep's report in the kernel's format, alone",
    )
    check.add_argument(
        "--first", action="store_true", help="stop at the first violation of each design"
    )
    add_search_options(check)
    add_executor_option(check)
    check.set_defaults(run=_kvm_check)
    add_stall(actions)
    add_trace(actions)
    add_run(actions)
    add_conform(actions)
    add_why(actions)


def _add_examples(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    examples = commands.add_parser(
        "examples",
        help="list the examples, or copy them to a directory",
        description="List the examples that come with quiesce, each with what it shows; with DIR, copy "
        "them there. No file is ever overwritten.",
    )
    examples.add_argument(
        "directory", nargs="?", metavar="DIR", help="where to copy them; created if it is missing"
    )
    examples.set_defaults(run=_examples)


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    doctor = commands.add_parser(
        "doctor",
        help="say what of numba, spin, /dev/kvm and tracing is there, and what it is for",
        description="Look at what quiesce can use on this machine: what each part is for, and how to get "
        "what is missing. The exit code is 0, since nothing of it is required.",
    )
    doctor.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    doctor.set_defaults(run=_doctor)


def _add_mcp(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    mcp = commands.add_parser(
        "mcp",
        help="serve three tools to language models: explain a log, check a source, compare fixes",
        description="Serve the Model Context Protocol on standard input and output: explain_log, "
        "check_protocol, compare_fixes. A source that is checked is executed in a process of its own with "
        "limits on time, memory and files, and without a network where the kernel allows that.",
    )
    mcp.set_defaults(run=_mcp)


def _story(args: argparse.Namespace) -> int:
    from quiesce.commands.story import story_command

    return story_command(args)


def _check(args: argparse.Namespace) -> int:
    if args.target is None:
        from quiesce.commands.project import project_command

        return project_command(args)
    from quiesce.commands.check import check_command

    return _perhaps_watching(args, check_command)


def _compare(args: argparse.Namespace) -> int:
    from quiesce.commands.compare import compare_command

    return _perhaps_watching(args, compare_command)


def _perhaps_watching(
    args: argparse.Namespace, command: Callable[[argparse.Namespace], int]
) -> int:
    if not args.watch:
        return command(args)
    from quiesce.commands.at_every_save import answer_at_every_save

    return answer_at_every_save(args, command)


def _mcp(args: argparse.Namespace) -> int:
    from quiesce.commands.mcp import mcp_command

    return mcp_command(args)


def _doctor(args: argparse.Namespace) -> int:
    from quiesce.commands.doctor import doctor_command

    return doctor_command(args)


def _examples(args: argparse.Namespace) -> int:
    from quiesce.commands.examples import examples_command

    return examples_command(args)


def _replay(args: argparse.Namespace) -> int:
    from quiesce.commands.replay import replay_command

    return replay_command(args)


def _run(args: argparse.Namespace) -> int:
    from quiesce.commands.run import run_command

    return run_command(args)


def _explain(args: argparse.Namespace) -> int:
    from quiesce.commands.explain import explain

    return explain(args)


def _kvm_check(args: argparse.Namespace) -> int:
    from quiesce.commands.kvm import kvm_check_command

    return kvm_check_command(args)
