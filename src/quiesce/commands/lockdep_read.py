# SPDX-License-Identifier: Apache-2.0
"""``quiesce lockdep read``: what a running kernel exports about its locks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from quiesce.errors import UsageError
from quiesce.harmless import json_text, one_line
from quiesce.lockdep.read.detect import difference, read_export
from quiesce.verdict import Verdict


def lockdep_read(args: argparse.Namespace) -> int:
    """Print what the file says, or what two files differ in; return the exit code."""
    exports = [read_export(_text(name), name) for name in args.files]
    if len(exports) > 2:
        raise UsageError(f"{len(exports)} files are given; one is read, or two are compared")
    result = exports[0] if len(exports) == 1 else difference(*exports)
    if args.json:
        print(json_text({"schema": 1, "kind": result.kind, **result.data}))
    else:
        print("\n".join(one_line(line) for line in result.lines))
    return (Verdict.VIOLATION if result.wrong else Verdict.HOLDS).exit_code


def _text(name: str) -> str:
    try:
        if name == "-":
            return sys.stdin.buffer.read().decode("utf-8", "replace")
        return Path(name).read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}") from error
