# SPDX-License-Identifier: Apache-2.0
"""Run one command of quiesce on a text from outside, in a process of its own, with limits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import quiesce
from quiesce.mcp import RAN
from quiesce.outputs import write_file

MEGABYTES = 2048
GRACE_SECONDS = 10
MOST_SECONDS = 600
MOST_OUTPUT = 200_000
"""Characters of the answer; beyond, it is cut, and says so."""

_PATH = os.pathsep.join(
    [str(Path(quiesce.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
)
_KEPT = ("PATH", "LANG", "LC_ALL", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class CommandAnswer:
    """What a command printed.

    :param exit_code: quiesce's; None: the process was killed, or the text ended it.
    :param text: what it printed, errors after the rest.
    """

    exit_code: int | None
    text: str


def run(
    command: Sequence[str], files: dict[str, str], seconds: int, log: str | None = None
) -> CommandAnswer:
    """Run ``quiesce`` with *command* in a fresh directory with *files*.

    :param files: names, without a directory, and their texts.
    :param seconds: for the whole process, from 1 to 600.
    :param log: what it reads from standard input; None: nothing.
    """
    seconds = min(max(seconds, 1), MOST_SECONDS)
    with tempfile.TemporaryDirectory(prefix="quiesce-") as folder:
        for name, text in files.items():
            write_file(str(Path(folder, Path(name).name)), text)
        with _started(command, folder, seconds) as process:
            try:
                out, err = process.communicate(log or "", timeout=seconds + 2 * GRACE_SECONDS)
                code = process.returncode - RAN if process.returncode >= RAN else None
            except subprocess.TimeoutExpired:
                out, err, code = "", f"killed: not done after {seconds} s\n", None
            finally:
                # Whatever the text started ends with it.
                _kill(process)
    return CommandAnswer(code, _cut(out + err))


def _started(command: Sequence[str], folder: str, seconds: int) -> subprocess.Popen[str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    places = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME"), folder)
    limits = [str(seconds + GRACE_SECONDS), str(MEGABYTES)]
    return subprocess.Popen(
        [sys.executable, "-m", "quiesce.mcp.limited", *limits, *command],
        cwd=folder,
        env=kept | places | {"PYTHONPATH": _PATH},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )


def _kill(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()


def _cut(text: str) -> str:
    if len(text) <= MOST_OUTPUT:
        return text
    return f"{text[:MOST_OUTPUT]}\n... cut here: {len(text) - MOST_OUTPUT:,} more characters\n"
