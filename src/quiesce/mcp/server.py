# SPDX-License-Identifier: Apache-2.0
"""The server and its three tools. Each runs ``quiesce`` in a limited process; nothing is executed here."""

from __future__ import annotations

from typing import Any

from mcp.server import MCPServer

from quiesce import __version__
from quiesce.mcp.sandbox import CommandAnswer, run

INSTRUCTIONS = (
    "quiesce explains lockdep reports and dumps of stuck tasks, and checks locking protocols that are "
    "written in Python over every interleaving. A verdict is proved on the whole space, or says what it "
    "depends on: repeat it with its condition."
)

CODES = {
    0: "holds, or nothing to complain about",
    1: "a violation was found",
    2: "the request or the source is wrong",
    3: "incomplete, or not decided",
    4: "an internal error",
    None: "no answer: the process ran out of time or memory, or the source ended it",
}

_BOUNDS = ("--explorer", "reference", "--quiet")


def explain_log(log: str, verbose: bool = False) -> dict[str, Any]:
    """Explain the reports of a kernel log about locks and stuck tasks.

    Reads lockdep reports, hung tasks, SysRq dumps, RCU stalls and lockups, from any kernel, quoted or
    truncated. Says for each whether it is about a hang, what must come together for it, which edge is the
    new one, and which fix fits.

    :param log: the text of the log.
    :param verbose: everything that stands behind the answer, too.
    """
    return _told(run(["explain", "-", *(["--verbose"] if verbose else [])], {}, 60, log))


def check_protocol(
    source: str, scenario: str = "", settings: list[str] | None = None, seconds: int = 30
) -> dict[str, Any]:
    """Check a locking protocol, written in quiesce's language, over every interleaving.

    Finds deadlocks, stuck threads, lost wakeups, livelocks, starvation, data races, broken invariants and
    code that never runs, each with its shortest run. The source is executed, in a limited process.

    :param source: the text of a Python file with a `Scenario`.
    :param scenario: its class, if there is more than one.
    :param settings: parameters of the scenario, as `name=value`.
    :param seconds: how long to search, from 1 to 600.
    """
    return _told(_checked(source, scenario, settings or [], seconds))


def compare_fixes(
    fixes: dict[str, str],
    scenario: str = "",
    settings: list[str] | None = None,
    seconds: int = 30,
) -> dict[str, Any]:
    """Check several versions of one protocol, and say for each what came out.

    :param fixes: a name for each version, and the text of its file.
    :param scenario: the class of the scenario, if a file has more than one.
    :param settings: parameters of the scenario, as `name=value`.
    :param seconds: how long to search for each, from 1 to 600.
    """
    answers = {
        name: _checked(source, scenario, settings or [], seconds) for name, source in fixes.items()
    }
    return {
        "which hold": [name for name, answer in answers.items() if answer.exit_code == 0],
        "versions": {name: _told(answer) for name, answer in answers.items()},
    }


def _checked(source: str, scenario: str, settings: list[str], seconds: int) -> CommandAnswer:
    target = f"protocol.py:{scenario}" if scenario else "protocol.py"
    options = [word for setting in settings for word in ("--set", setting)]
    bound = str(min(max(seconds, 1), 600))
    command = ["check", target, *options, *_BOUNDS, "--all", "--max-seconds", bound]
    return run(command, {"protocol.py": source}, seconds)


def _told(answer: CommandAnswer) -> dict[str, Any]:
    return {
        "exit_code": answer.exit_code,
        "meaning": CODES[answer.exit_code],
        "text": answer.text,
    }


def make_server() -> MCPServer[Any]:
    """Return the server with its tools."""
    server: MCPServer[Any] = MCPServer("quiesce", instructions=INSTRUCTIONS, version=__version__)
    for tool in (explain_log, check_protocol, compare_fixes):
        server.tool()(tool)
    return server
