# SPDX-License-Identifier: Apache-2.0
"""``quiesce explain``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from quiesce.splat.command import explain_command


def explain(args: argparse.Namespace) -> int:
    """Explain the reports of the log that ``args.file`` names."""
    return explain_command(
        args.file,
        json=args.json,
        markdown=args.markdown,
        html=Path(args.html) if args.html else None,
        quiet=args.quiet,
        model=Path(args.model) if args.model else None,
        out=sys.stdout,
        err=sys.stderr,
    )
